//! The beginning of an operation: the checkpoint and the limits, then the submission.
//!
//! ```text
//! begin_operation    the checkpoint; a signal handler? the deadline? the call's own limit?
//!                       └──▶ may wait, or is tried once, or fails
//! submit_operation   an entry in the table, a count, Driver::submit ──▶ pending, or done at once
//! in_turn            a count, a call that never waits, and now and then a turn for the others
//! ```

use std::io;

use super::suspension::{CannotWait, checkpoint, deadline_passed, interrupted, killed, yield_turn};
use crate::driver::Driver;
use crate::op::{Full, Op, Outcome, Submitted, Token};
use crate::sched::{Here, NEVER, WaitNodePtr};

/// The maximum number of operations in a row that end without a wait, before others get a turn.
pub(super) const INLINE_MAX: u64 = 64;

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
