//! Calls made on the tasklet's own thread, and the facts that decide which calls those are.

use std::io;

use crate::op::Op;
use crate::sched::{NEVER, here};
use crate::task::begin::{Begin, begin_operation, in_turn};
use crate::task::suspension::checkpoint_without_error;

/// The facts about a caller that decide how an operation on a disk is done. Such an operation ends
/// by itself, without another process or tasklet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DiskCall {
    /// The caller is a tasklet, and may wait. Other callers make a plain call: they have no
    /// tasklets to delay, or no choice.
    pub(crate) may_wait: bool,
    /// The port does the operation by itself.
    pub(crate) port_does: bool,
    /// Other tasklets are ready to run, and may make such calls, too.
    pub(crate) others_are_ready: bool,
}

/// Begins an operation on a disk. A suspension point: delivers a pending kill.
pub(crate) fn begin_disk_call(op: &Op) -> DiskCall {
    let plain = DiskCall { may_wait: false, port_does: false, others_are_ready: false };
    let Some(here) = here() else { return plain };
    if checkpoint_without_error(here).is_err() {
        return plain;
    }
    DiskCall {
        may_wait: true,
        port_does: here.driver().borrow().waits_for_disks(op),
        others_are_ready: here.ready_count() > 0,
    }
}

/// Begins a call of several operations. A suspension point: delivers a pending kill. Tells whether
/// the caller may wait.
pub(crate) fn begin_call() -> bool {
    here().is_none_or(|here| checkpoint_without_error(here).is_ok())
}

/// Calls `f`, which never waits, as an operation that ends at once. The call obeys kills and
/// deadlines, and lets other tasklets run from time to time, so a loop of such calls delays none.
///
/// # Errors
/// [`Cancelled`](crate::task::Cancelled); `f` has not been called then.
#[inline]
pub(crate) fn in_place<R>(f: impl FnOnce() -> R) -> io::Result<R> {
    let Some(here) = here() else {
        return Ok(f());
    };
    match begin_operation(here, NEVER, false)? {
        Begin::MayWait(_) => Ok(in_turn(here, f)),
        Begin::TryOnce(_) => Ok(f()),
    }
}
