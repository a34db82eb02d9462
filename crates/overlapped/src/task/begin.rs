//! The beginning of every call that may wait, and the delivery of kills.
//!
//! ```text
//! checkpoint         a kill is pending? may this tasklet wait at all?
//! begin_operation    the same; a signal handler? the deadline? the call's own limit?
//!                       └──▶ may wait, or is tried once, or fails
//! submit_operation   an entry in the table, a count, Driver::submit ──▶ pending, or done at once
//! in_turn            a count, a call that never waits, and now and then a turn for the others
//!
//! a kill   before a wait: checkpoint ──▶ deliver_or_report_kill ─┐
//!          after a wait:  deliver_kill ──────────────────────────┴──▶ exit_now (modes.rs): unwinds
//! ```
//!
//! | the tasklet is | a call that returns errors | one that has none |
//! |---|---|---|
//! | unwinding, or in its last drops | one try, then an error | returns, or aborts |
//! | unwinding, in `kill_as_error`, with thread-locals of its own | waits | waits |
//! | inside `no_switch` | the same | panics |
//! | to be killed | unwinds | unwinds |
//! | to be killed, in `kill_as_error` | an error, at once | waits |
//! | to be killed, in a `shield` | waits | waits |

use std::io;
use std::thread;

use super::cannot_wait::{CannotWait, deadline_passed, interrupted, killed};
use super::wait::yield_turn;
use crate::driver::Driver;
use crate::op::{Full, Op, Outcome, Submitted, Token};
use crate::sched::{Here, Locals, NEVER, Tcb, WaitNodePtr};

/// The operations that may end at once, one after another, before others get a turn.
pub(super) const INLINE_MAX: u64 = 64;

/// Tells whether a tasklet may not switch because it unwinds: its panic would count as a
/// neighbour's. The panic of a tasklet with thread-locals of its own does not. Such a tasklet waits
/// as ever inside `kill_as_error`, where no kill unwinds it a second time.
#[cold]
pub(crate) fn is_held_by_panic(me: &Tcb) -> bool {
    me.locals.get() != Locals::Own || me.kill_errors.get() == 0
}

/// Begins a call that may wait and can return an error: delivers a pending kill, and returns
/// whether the call may wait at all. Inside `kill_as_error` the kill is [`CannotWait::Killed`].
#[inline(always)]
pub(crate) fn checkpoint(here: Here) -> Result<(), CannotWait> {
    let me = here.me();
    if thread::panicking() && is_held_by_panic(me) {
        return Err(CannotWait::Unwinding);
    }
    if is_doomed(here, me) {
        return Err(deliver_or_report_kill(here));
    }
    if me.no_switch.get() > 0 {
        return Err(CannotWait::NoSwitch);
    }
    Ok(())
}

/// Begins a call that may wait and cannot return an error. It differs from [`checkpoint`] in one
/// point: `kill_as_error` holds kills off, as a shield does.
#[inline(always)]
pub(crate) fn checkpoint_without_error(here: Here) -> Result<(), CannotWait> {
    let me = here.me();
    if thread::panicking() && is_held_by_panic(me) {
        return Err(CannotWait::Unwinding);
    }
    if is_doomed(here, me) && (me.kill_errors.get() == 0 || me.last_drops.get()) {
        return Err(deliver_or_report_kill(here));
    }
    if me.no_switch.get() > 0 {
        return Err(CannotWait::NoSwitch);
    }
    Ok(())
}

/// Delivers a kill: unwinds, unless the tasklet is in a state in which kills return errors.
#[cold]
fn deliver_or_report_kill(here: Here) -> CannotWait {
    let me = here.me();
    if me.last_drops.get() {
        // A destructor at the tasklet's end finishes, as one that runs while unwinding does.
        return CannotWait::Unwinding;
    }
    if me.kill_errors.get() == 0 {
        super::exit_now(here);
    }
    if me.outlived_kill.replace(true) && me.no_switch.get() == 0 {
        // The tasklet got this error before. If it goes on in a loop, others must get their turn.
        yield_turn(here);
    }
    CannotWait::Killed
}

/// Tells whether a kill takes effect at the tasklet's next suspension point: it unwinds there, or
/// the call returns an error, inside `kill_as_error`.
#[inline(always)]
pub(crate) fn is_doomed(here: Here, block: &Tcb) -> bool {
    (block.killed.get() || here.is_ending()) && block.shields.get() == 0
}

/// Tells whether calls return errors because of a pending kill.
#[inline]
pub(crate) fn is_cancelled(here: Here) -> bool {
    let me = here.me();
    is_doomed(here, me) && me.kill_errors.get() > 0
}

/// Delivers a kill that came while the tasklet waited: unwinds, except inside `kill_as_error`.
#[inline(always)]
pub(crate) fn deliver_kill(here: Here) {
    let me = here.me();
    if is_doomed(here, me) && me.kill_errors.get() == 0 {
        super::exit_now(here);
    }
}

/// The way in which an operation may be performed.
pub(super) enum Begin {
    /// It may wait until this time on the port's clock.
    MayWait(u64),
    /// The operation is tried once. The reason is for the error. Without one, the call's own limit
    /// has passed, which only bounds the wait: data that is there already is returned, as in std.
    TryOnce(Option<CannotWait>),
}

/// Begins an operation: a suspension point, which delivers a pending kill. `limit`: the call's own
/// ([`NEVER`]: none). `is_wait`: signal handlers that have run end this call; they do not end calls
/// that never wait.
///
/// # Errors
/// [`Cancelled`](super::Cancelled), and the error of a call that a signal handler ends. The
/// operation must not be tried then.
#[inline(always)]
pub(super) fn begin_operation(here: Here, limit: u64, is_wait: bool) -> io::Result<Begin> {
    match checkpoint(here) {
        Ok(()) => {}
        Err(CannotWait::Killed) => return Err(killed()),
        Err(reason) => return Ok(Begin::TryOnce(Some(reason))),
    }
    let me = here.me();
    if is_wait && me.interrupted.take() {
        return Err(interrupted());
    }
    let until = limit.min(me.deadline.get());
    if until != NEVER && here.read_clock() >= until {
        if me.deadline.get() <= limit {
            return Err(deadline_passed());
        }
        return Ok(Begin::TryOnce(None));
    }
    Ok(Begin::MayWait(until))
}

/// The state of an operation after its submission.
pub(super) enum Submission {
    /// Its completion will wake the owner of this token.
    Pending(Token),
    /// It ended at once; there will be no completion.
    Done(Outcome),
}

/// Enters `op` in the table with `owner`, counts it, and submits it by `submit`.
///
/// # Safety
/// The same as for [`Driver::submit`]; `owner` stays where it is until the completion.
#[inline(always)]
pub(super) unsafe fn submit_operation(
    here: Here,
    owner: WaitNodePtr,
    op: &Op,
    submit: unsafe fn(&mut Driver, Token, &Op) -> Submitted,
) -> Result<Submission, Full> {
    let token = here.add_operation(owner)?;
    here.count_operation();
    // SAFETY: the caller's promise; the table made the token.
    match unsafe { submit(&mut here.driver().borrow_mut(), token, op) } {
        Submitted::Pending => Ok(Submission::Pending(token)),
        Submitted::Done(outcome) => {
            here.remove_operation(token);
            Ok(Submission::Done(outcome))
        }
    }
}

/// Counts a call that the calling thread makes, and yields from time to time.
#[inline]
pub(super) fn in_turn<R>(here: Here, f: impl FnOnce() -> R) -> R {
    let operations = here.count_operation();
    let result = f();
    if operations.is_multiple_of(INLINE_MAX) {
        yield_turn(here);
    }
    result
}
