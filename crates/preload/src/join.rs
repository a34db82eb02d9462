//! Joins of tasklets by code that takes them for threads.

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use libc::{clockid_t, pthread_t, timespec};
use overlapped::task::shield;
use overlapped_install::preload::{time_until, unmarked, write_join_result};

use crate::next::real;
use crate::record::Record;
use crate::state::{State, existing_state};

/// Waits for a tasklet's end; returns its value, or the number of the error. `None`: it is a
/// thread.
pub(crate) fn join_tasklet(
    thread: pthread_t,
    limit: Option<Duration>,
) -> Option<Result<usize, c_int>> {
    let state = existing_state()?;
    let record = state.record(thread)?;
    Some(unmarked(|| join(state, &record, limit)))
}

fn join(state: &State, record: &Arc<Record>, limit: Option<Duration>) -> Result<usize, c_int> {
    // SAFETY: the call has no conditions.
    if record.id.load(Relaxed) == unsafe { libc::pthread_self() } as usize {
        return Err(libc::EDEADLK);
    }
    {
        let mut life = record.life();
        if life.is_detached || life.is_joined {
            return Err(libc::EINVAL);
        }
        life.is_joined = true;
    }
    let is_over = match limit {
        None => {
            shield(|| record.ended.wait());
            true
        }
        Some(limit) => shield(|| record.ended.wait_timeout(limit)),
    };
    let mut life = record.life();
    if !is_over && !life.is_over {
        life.is_joined = false;
        return Err(libc::ETIMEDOUT);
    }
    let value = life.value;
    drop(life);
    release(state, record);
    Ok(value)
}

/// Releases a tasklet that no call will join any more, whether or not it has ended.
fn release(state: &State, record: &Arc<Record>) {
    state.records().remove(&record.id.load(Relaxed));
    record.released.set();
}

/// pthread_tryjoin_np(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_tryjoin_np(
    thread: pthread_t,
    value: *mut *mut c_void,
) -> c_int {
    match join_tasklet(thread, Some(Duration::ZERO)) {
        Some(Err(libc::ETIMEDOUT)) => libc::EBUSY,
        // SAFETY: the caller's promise: null, or writable.
        Some(joined) => unsafe { write_join_result(joined, value) },
        None => {
            let join: unsafe extern "C" fn(pthread_t, *mut *mut c_void) -> c_int =
                real!(pthread_tryjoin_np);
            // SAFETY: the caller's promise, handed on.
            unsafe { join(thread, value) }
        }
    }
}

/// pthread_clockjoin_np(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_clockjoin_np(
    thread: pthread_t,
    value: *mut *mut c_void,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise: null, or a time.
    let limit = match unsafe { time_until(clock, moment) } {
        Ok(limit) => limit,
        Err(error) => return error,
    };
    match join_tasklet(thread, limit) {
        // SAFETY: the caller's promise: null, or writable.
        Some(joined) => unsafe { write_join_result(joined, value) },
        None => {
            type Join = unsafe extern "C" fn(
                pthread_t,
                *mut *mut c_void,
                clockid_t,
                *const timespec,
            ) -> c_int;
            let join: Join = real!(pthread_clockjoin_np);
            // SAFETY: the caller's promise, handed on.
            unsafe { join(thread, value, clock, moment) }
        }
    }
}

/// pthread_detach(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_detach(thread: pthread_t) -> c_int {
    let found = existing_state().and_then(|state| Some((state, state.record(thread)?)));
    let Some((state, record)) = found else {
        let detach: unsafe extern "C" fn(pthread_t) -> c_int = real!(pthread_detach);
        // SAFETY: the caller's promise, handed on.
        return unsafe { detach(thread) };
    };
    unmarked(|| {
        let mut life = record.life();
        if life.is_detached {
            return libc::EINVAL;
        }
        life.is_detached = true;
        let is_over = life.is_over;
        drop(life);
        if is_over {
            release(state, &record);
        }
        0
    })
}
