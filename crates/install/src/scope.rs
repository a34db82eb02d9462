//! Who is meant: tasklets that were started through this crate, while they may wait.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use overlapped::task::{Local, may_wait};

/// Set by [`install`](crate::install).
pub(crate) static ON: AtomicBool = AtomicBool::new(false);

/// Set in tasklets that were started through this crate.
static COOPERATIVE: Local<Cell<bool>> = Local::new(|| Cell::new(false));

/// Tells whether a call may block the tasklet instead of its thread.
#[inline]
pub(crate) fn here() -> bool {
    ON.load(Relaxed) && may_wait() && COOPERATIVE.with(Cell::get)
}

/// Runs `f` with the calling tasklet's libc calls as those of the tasklet.
pub(crate) fn cooperative<T>(f: impl FnOnce() -> T) -> T {
    COOPERATIVE.with(|on| on.set(true));
    f()
}
