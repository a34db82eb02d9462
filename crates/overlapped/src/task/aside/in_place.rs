//! Calls that are made where they stand, and the choice of the way for those that end by
//! themselves.

use std::io;

use crate::op::Op;
use crate::sched::{NEVER, here};
use crate::task::begin::{Begin, begin_operation, in_turn};
use crate::task::wait::checkpoint_without_error;

/// How an operation that ends by itself, without anybody's doing, is best done: one on a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// By a plain call: there is nobody to hold up, or the caller may not wait.
    InPlace,
    /// By the port.
    Port,
    /// By a thread of the pool: the port has nothing for it.
    Pool,
}

/// Chooses. A suspension point: delivers a pending kill.
pub(crate) fn way(op: &Op) -> Way {
    let Some(here) = here() else {
        return Way::InPlace;
    };
    if checkpoint_without_error(here).is_err() {
        return Way::InPlace;
    }
    if here.driver.borrow().waits_for_disks(op) { Way::Port } else { Way::Pool }
}

/// Whether the caller, a tasklet, may wait. A suspension point: delivers a pending kill.
pub(crate) fn may_wait() -> bool {
    here().is_none_or(|here| checkpoint_without_error(here).is_ok())
}

/// Makes a call that never waits, as an operation that ends at once: kills, deadlines and the turn
/// of the others are seen to, so that a loop of such calls holds nobody up.
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

/// Whether others are ready to run, and may so want the same.
#[inline]
pub(crate) fn others_are_ready() -> bool {
    here().is_some_and(|here| here.ready.len() > 0)
}
