//! Unmodified std code, and the crates built on it, block only the calling tasklet.
//!
//! Work in progress.

mod futex;
mod hooks;
mod raw;
mod scope;
mod wait;

use std::sync::atomic::Ordering::Relaxed;

use overlapped::Tasklet;
use overlapped::task::kill_as_error;

/// From now on the libc calls of tasklets that [`spawn`] starts block the tasklet alone.
pub fn install() {
    scope::ON.store(true, Relaxed);
}

/// Starts a tasklet whose libc calls block it alone.
pub fn spawn<F, T>(f: F) -> Tasklet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    overlapped::spawn(|| scope::cooperative(|| kill_as_error(f)))
}
