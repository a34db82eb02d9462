//! Waits for threads.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::{pthread_barrier_t, pthread_t, timespec};
use overlapped::task::shield;
use overlapped::time::sleep;

use super::limit_at;
use crate::caller::Call;
use crate::next::next;
use crate::pool::{self, AssertSend};
use crate::preload;
use crate::symbols::Symbol;

type Join = unsafe extern "C" fn(pthread_t, *mut *mut c_void) -> c_int;
type Timed = unsafe extern "C" fn(pthread_t, *mut *mut c_void, *const timespec) -> c_int;
type OfBarrier = unsafe extern "C" fn(*mut pthread_barrier_t) -> c_int;

/// pthread_join(3). A thread is joined once, so neither a kill nor a deadline ends the wait.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_join(thread: pthread_t, value: *mut *mut c_void) -> c_int {
    let real: Join = next!(pthread_join);
    let attempt: Join = next!(pthread_tryjoin_np);
    if let Some(joined) = preload::join_tasklet(thread, None) {
        // SAFETY: the caller's promise.
        return unsafe { preload::write_join_result(joined, value) };
    }
    let Some(call) = Call::begin_lock(Symbol::pthread_join) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(thread, value) };
    };
    // SAFETY: as above.
    match unsafe { attempt(thread, value) } {
        libc::EBUSY => {}
        other => return other,
    }
    let joined = pool::run_to_end(&call, move || {
        let mut value = std::ptr::null_mut();
        // SAFETY: the promise of the caller, which waits for the end.
        let outcome = unsafe { real(thread, &mut value) };
        // SAFETY: the address that the thread has returned is for its joiner.
        unsafe { AssertSend::new((outcome, value)) }
    });
    let (outcome, result) = joined.take();
    if outcome == 0 && !value.is_null() {
        // SAFETY: the caller's promise.
        unsafe { *value = result };
    }
    outcome
}

/// pthread_timedjoin_np(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_timedjoin_np(
    thread: pthread_t,
    value: *mut *mut c_void,
    moment: *const timespec,
) -> c_int {
    const LONGEST: Duration = Duration::from_millis(20);
    let real: Timed = next!(pthread_timedjoin_np);
    let attempt: Join = next!(pthread_tryjoin_np);
    // SAFETY: the caller's promise: null, or a time.
    match unsafe { preload::time_until(libc::CLOCK_REALTIME, moment) } {
        Err(error) => return error,
        Ok(limit) => {
            if let Some(joined) = preload::join_tasklet(thread, limit) {
                // SAFETY: the caller's promise.
                return unsafe { preload::write_join_result(joined, value) };
            }
        }
    }
    let Some(call) = Call::begin_lock(Symbol::pthread_timedjoin_np) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(thread, value, moment) };
    };
    // SAFETY: as above.
    let Some(limit) = (unsafe { limit_at(libc::CLOCK_REALTIME, moment) }) else {
        return libc::EINVAL;
    };
    let mut pause = Duration::from_millis(1);
    loop {
        // SAFETY: as above.
        match unsafe { attempt(thread, value) } {
            libc::EBUSY if limit.is_over() => return libc::ETIMEDOUT,
            libc::EBUSY => {}
            other => return other,
        }
        call.count();
        shield(|| sleep(limit.left().map_or(pause, |left| left.min(pause))));
        pause = (pause * 2).min(LONGEST);
    }
}

/// pthread_barrier_wait(3). Each call has a thread of its own, because the barrier opens only when
/// all callers wait at it at the same time.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_barrier_wait(barrier: *mut pthread_barrier_t) -> c_int {
    let real: OfBarrier = next!(pthread_barrier_wait);
    let Some(call) = Call::begin_lock(Symbol::pthread_barrier_wait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(barrier) };
    };
    // SAFETY: many threads may use a barrier at a time.
    let barrier = unsafe { AssertSend::new(barrier) };
    // SAFETY: the promise of the caller, which waits for the end.
    pool::run_to_end_on_own_thread(&call, move || unsafe { real(barrier.take()) })
}
