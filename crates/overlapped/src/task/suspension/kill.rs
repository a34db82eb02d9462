//! The delivery of kills: whether one takes effect now, and the unwinding.

use std::panic::resume_unwind;

use super::point::yield_turn;
use crate::sched::{Here, Locals, Tcb};

/// The payload with which a killed tasklet unwinds. It prints no message and ends the tasklet
/// silently.
///
/// A `catch_unwind` that catches it should resume it. A tasklet that goes on instead has survived
/// that kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskletExit;

/// Delivers a kill: unwinds the calling tasklet.
#[cold]
pub(super) fn exit_now(here: Here) -> ! {
    let me = here.me();
    if me.outlived_kill.replace(true) && me.no_switch.get() == 0 {
        // The tasklet caught a kill before and went on. If it does so in a loop, others must get
        // their turn.
        yield_turn(here);
    }
    me.killed.set(false);
    if cfg!(panic = "abort") {
        eprintln!(
            "overlapped: tasklet {} was killed, but this program is built with panic=abort, which \
             leaves no way to unwind it; build with panic=unwind, or do not kill",
            me.id
        );
        std::process::abort();
    }
    resume_unwind(Box::new(TaskletExit))
}

/// Tells whether a kill takes effect at the tasklet's next suspension point: it unwinds there, or
/// the call returns an error, inside `kill_as_error`.
#[inline(always)]
pub(in crate::task) fn is_doomed(here: Here, block: &Tcb) -> bool {
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
        exit_now(here);
    }
}

/// Tells whether a tasklet may not switch because it unwinds: its panic would count as a
/// neighbour's. The panic of a tasklet with thread-locals of its own does not. Such a tasklet waits
/// as ever inside `kill_as_error`, where no kill unwinds it a second time.
#[cold]
pub(in crate::task) fn is_held_by_panic(me: &Tcb) -> bool {
    me.locals.get() != Locals::Own || me.kill_errors.get() == 0
}
