//! Functions for `overlapped-preload`, which makes tasklets of unmodified programs' threads; no
//! part of this crate's interface.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::time::Duration;

use libc::{clockid_t, pthread_t, timespec};

use crate::caller::{self, Unmarked};
use crate::timespec::{duration, until};

/// A function that joins a thread that is a tasklet, up to a limit if there is one, and returns its
/// value or the number of the error. It returns `None` for a thread.
pub type JoinHook = fn(pthread_t, Option<Duration>) -> Option<Result<usize, c_int>>;

static JOIN_HOOK: OnceLock<JoinHook> = OnceLock::new();

/// Has pthread_join(3) and similar functions call `hook` first. A second call changes nothing.
pub fn set_join_hook(hook: JoinHook) {
    let _ = JOIN_HOOK.set(hook);
}

/// Joins a thread if it is a tasklet.
pub(crate) fn join_tasklet(
    thread: pthread_t,
    limit: Option<Duration>,
) -> Option<Result<usize, c_int>> {
    JOIN_HOOK.get()?(thread, limit)
}

/// Writes the value of a joined thread to `value`, or returns the error.
///
/// # Safety
/// `value` is null, or writable.
pub unsafe fn write_join_result(joined: Result<usize, c_int>, value: *mut *mut c_void) -> c_int {
    match joined {
        Ok(result) => {
            if !value.is_null() {
                // SAFETY: the caller's promise.
                unsafe { value.write(std::ptr::with_exposed_provenance_mut(result)) };
            }
            0
        }
        Err(error) => error,
    }
}

/// Tells whether the caller is a marked tasklet in its own code.
pub fn is_marked() -> bool {
    caller::is_marked()
}

/// Calls `f` with the mark taken away: libc calls in it go to libc.
pub fn unmarked<T>(f: impl FnOnce() -> T) -> T {
    let _unmarked = Unmarked::begin();
    f()
}

/// Records that the calling tasklet leaves its signal handlers, if it is in one, for the bottom of
/// its stack. Ends the process if it must not leave them.
pub fn leave_handlers() {
    caller::leave_handlers();
}

/// Returns the time until a moment of a clock, or `None` if `moment` is null.
///
/// # Errors
/// The number of the error, if the moment is malformed.
///
/// # Safety
/// `moment` is null, or points to a time.
pub unsafe fn time_until(
    clock: clockid_t,
    moment: *const timespec,
) -> Result<Option<Duration>, c_int> {
    // SAFETY: the caller's promise.
    let Some(moment) = (unsafe { moment.as_ref() }) else { return Ok(None) };
    let moment = duration(moment).ok_or(libc::EINVAL)?;
    Ok(Some(until(clock, moment)))
}
