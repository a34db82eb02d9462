//! The check before a wait: whether the calling tasklet may wait, and whether a kill comes first.

use std::thread;

use super::cannot_wait::CannotWait;
use super::kill::{exit_now, is_doomed, is_held_by_panic};
use super::point::yield_turn;
use crate::sched::Here;

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
        exit_now(here);
    }
    if me.outlived_kill.replace(true) && me.no_switch.get() == 0 {
        // The tasklet got this error before. If it goes on in a loop, others must get their turn.
        yield_turn(here);
    }
    CannotWait::Killed
}
