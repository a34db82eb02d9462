//! The begin of every call that may wait, and the delivery of kills.
//!
//! | the tasklet is | a call that returns errors | one that has none |
//! |---|---|---|
//! | unwinding, or in its last drops | one try, then an error | returns, or aborts |
//! | unwinding, in `kill_as_error`, with thread-locals of its own | waits | waits |
//! | inside `no_switch` | the same | panics |
//! | to be killed | unwinds | unwinds |
//! | to be killed, in `kill_as_error` | an error, at once | waits |
//! | to be killed, in a `shield` | waits | waits |

use std::thread;

use super::refusal::Refusal;
use super::wait::{INLINE_MAX, give_way};
use crate::sched::{Here, Locals, Tcb};

/// Tells whether a tasklet that unwinds may not switch: its panic would be a neighbour's. That of
/// one with thread-locals of its own is not; it waits as ever inside `kill_as_error`, where no kill
/// unwinds it a second time.
#[cold]
pub(crate) fn is_held_by_panic(me: &Tcb) -> bool {
    me.locals.get() != Locals::Own || me.kill_errors.get() == 0
}

/// Begins every call that may wait and returns errors: delivers a pending kill, and tells whether
/// the call may wait at all. Inside `kill_as_error` the kill is [`Refusal::Killed`].
#[inline(always)]
pub(crate) fn checkpoint(here: Here) -> Result<(), Refusal> {
    let me = here.me();
    if thread::panicking() && is_held_by_panic(me) {
        return Err(Refusal::Unwinding);
    }
    if is_doomed(here, me) {
        return Err(meet_kill(here));
    }
    if me.no_switch.get() > 0 {
        return Err(Refusal::NoSwitch);
    }
    Ok(())
}

/// Begins a call that may wait and has no error to return: as [`checkpoint`], but `kill_as_error`
/// holds kills off, as a shield does.
#[inline(always)]
pub(crate) fn checkpoint_without_error(here: Here) -> Result<(), Refusal> {
    let me = here.me();
    if thread::panicking() && is_held_by_panic(me) {
        return Err(Refusal::Unwinding);
    }
    if is_doomed(here, me) && (me.kill_errors.get() == 0 || me.last_drops.get()) {
        return Err(meet_kill(here));
    }
    if me.no_switch.get() > 0 {
        return Err(Refusal::NoSwitch);
    }
    Ok(())
}

/// Unwinds, unless the tasklet is where a kill does not.
#[cold]
fn meet_kill(here: Here) -> Refusal {
    let me = here.me();
    if me.last_drops.get() {
        // A destructor at its end: it shall finish, as one does that runs while unwinding.
        return Refusal::Unwinding;
    }
    if me.kill_errors.get() == 0 {
        super::exit_now(here);
    }
    if me.outlived_kill.replace(true) && me.no_switch.get() == 0 {
        // It has been told already. In a loop that goes on, others must get their turn.
        give_way(here);
    }
    Refusal::Killed
}

/// Tells whether a kill takes effect at the tasklet's next suspension point: it unwinds there, or
/// the call returns an error, inside `kill_as_error`.
#[inline(always)]
pub(crate) fn is_doomed(here: Here, block: &Tcb) -> bool {
    (block.killed.get() || here.ending.get()) && block.shields.get() == 0
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

/// Counts a call that is made where it stands, and gives way from time to time.
#[inline]
pub(crate) fn in_turn<R>(here: Here, f: impl FnOnce() -> R) -> R {
    let operations = here.counters.operations.get() + 1;
    here.counters.operations.set(operations);
    let result = f();
    if operations.is_multiple_of(INLINE_MAX) {
        give_way(here);
    }
    result
}
