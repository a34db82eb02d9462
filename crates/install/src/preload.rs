//! For `overlapped-preload`, which makes tasklets of unmodified programs' threads; no part of this
//! crate's interface.

use std::ffi::{c_int, c_void};
use std::sync::OnceLock;
use std::time::Duration;

use libc::{clockid_t, pthread_t, timespec};

use crate::caller::{self, Unmarked};
use crate::hooks;

/// Waits for the end of a thread that is a tasklet, for a limited time where there is a limit; its
/// value, or the number of the error. `None`: it is a thread.
pub type WaitFor = fn(pthread_t, Option<Duration>) -> Option<Result<usize, c_int>>;

static WAIT_FOR: OnceLock<WaitFor> = OnceLock::new();

/// Has pthread_join(3) and its like ask first. A second call changes nothing.
pub fn answer_for_threads(wait_for: WaitFor) {
    let _ = WAIT_FOR.set(wait_for);
}

/// The answer for a thread, if it is a tasklet.
pub(crate) fn wait_for(thread: pthread_t, limit: Option<Duration>) -> Option<Result<usize, c_int>> {
    WAIT_FOR.get()?(thread, limit)
}

/// Gives what a thread's end was.
///
/// # Safety
/// `value` is null, or the caller's.
pub unsafe fn tell(joined: Result<usize, c_int>, value: *mut *mut c_void) -> c_int {
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

/// Calls `f` as code of the library's: what it calls is not looked at.
pub fn unmarked<T>(f: impl FnOnce() -> T) -> T {
    let _unmarked = Unmarked::begin();
    f()
}

/// Says that the calling tasklet leaves its signal handlers, if it is in one, for the bottom of its
/// stack. Ends the process where that cannot be.
pub fn leave_handlers() {
    caller::leaves_handlers();
}

/// The time until a moment of a clock; none, where `moment` is null.
///
/// # Errors
/// The number of the error, where the moment is malformed.
///
/// # Safety
/// `moment` is null, or points to a time.
pub unsafe fn time_until(
    clock: clockid_t,
    moment: *const timespec,
) -> Result<Option<Duration>, c_int> {
    // SAFETY: the caller's promise.
    let Some(moment) = (unsafe { moment.as_ref() }) else { return Ok(None) };
    let moment = hooks::duration(moment).ok_or(libc::EINVAL)?;
    Ok(Some(hooks::until(clock, moment)))
}
