//! `<threads.h>`: C11's names for functions of POSIX threads. In glibc they call internal functions
//! instead of the symbols that this crate replaces. The types differ by name only.

use std::ffi::{c_int, c_void};

use libc::{pthread_cond_t, pthread_mutex_t, pthread_t, timespec};

use super::{
    pthread_cond_broadcast, pthread_cond_signal, pthread_cond_timedwait, pthread_cond_wait,
    pthread_join, pthread_mutex_lock, pthread_mutex_timedlock, pthread_mutex_trylock,
    pthread_mutex_unlock,
};
use crate::hooks::time::{clock_nanosleep, sched_yield};

/// Converts an error number to a result of `<threads.h>`.
fn result(error: c_int) -> c_int {
    const BUSY: c_int = 1;
    const ERROR: c_int = 2;
    const NO_MEMORY: c_int = 3;
    const TIMED_OUT: c_int = 4;
    match error {
        0 => 0,
        libc::EBUSY => BUSY,
        libc::ENOMEM => NO_MEMORY,
        libc::ETIMEDOUT => TIMED_OUT,
        _ => ERROR,
    }
}

/// mtx_lock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mtx_lock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_mutex_lock(mutex) })
}

/// mtx_timedlock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mtx_timedlock(
    mutex: *mut pthread_mutex_t,
    moment: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_mutex_timedlock(mutex, moment) })
}

/// mtx_trylock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mtx_trylock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_mutex_trylock(mutex) })
}

/// mtx_unlock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mtx_unlock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_mutex_unlock(mutex) })
}

/// cnd_wait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn cnd_wait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_cond_wait(cond, mutex) })
}

/// cnd_timedwait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn cnd_timedwait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    moment: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_cond_timedwait(cond, mutex, moment) })
}

/// cnd_signal(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn cnd_signal(cond: *mut pthread_cond_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_cond_signal(cond) })
}

/// cnd_broadcast(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn cnd_broadcast(cond: *mut pthread_cond_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    result(unsafe { pthread_cond_broadcast(cond) })
}

/// thrd_join(3). C11's threads return an `int` instead of a pointer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn thrd_join(thread: pthread_t, value: *mut c_int) -> c_int {
    let mut returned: *mut c_void = std::ptr::null_mut();
    // SAFETY: the caller's promise, handed on.
    let error = unsafe { pthread_join(thread, &mut returned) };
    if error == 0 && !value.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *value = returned.addr() as c_int };
    }
    result(error)
}

/// thrd_sleep(3), which returns −1 after a signal, and another negative number after an error.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn thrd_sleep(span: *const timespec, left: *mut timespec) -> c_int {
    // SAFETY: the caller's promise, handed on.
    match unsafe { clock_nanosleep(libc::CLOCK_REALTIME, 0, span, left) } {
        0 => 0,
        libc::EINTR => -1,
        _ => -2,
    }
}

/// thrd_yield(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn thrd_yield() {
    sched_yield();
}
