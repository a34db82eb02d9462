//! Sleeps. A signal handler ends them, and the remaining time is reported.

use std::ffi::{c_int, c_uint};
use std::io::ErrorKind;
use std::time::{Duration, Instant};

use libc::timespec;
use overlapped::signal::{Restart, interruptible};
use overlapped::time::try_sleep;
use overlapped::yield_now;

use crate::caller::Call;
use crate::errors::error_number;
use crate::raw::{INTERRUPTED, Outcome, call, give_int};
use crate::symbols::Symbol;
use crate::timespec::{NANOSECONDS, duration, until};

/// Sleeps, and returns the remaining time if a signal handler has run. A kill or a deadline ends
/// the sleep early without an error: std, and most C code, treat every error but EINTR as a fault
/// of the program, and sleep again after EINTR.
fn sleep_for(call: &Call, span: Duration) -> Option<Duration> {
    call.count();
    let begin = Instant::now();
    match interruptible(Restart::No, || try_sleep(span)) {
        Ok(()) => None,
        Err(error) if error.kind() == ErrorKind::Interrupted => {
            Some(span.saturating_sub(begin.elapsed()))
        }
        Err(error) => {
            error_number(&error);
            None
        }
    }
}

/// Writes the remaining time, if the caller asks for it.
unsafe fn write_remaining(left: Duration, remaining: *mut timespec) {
    // SAFETY: the caller's promise: null, or a place for it.
    if let Some(remaining) = unsafe { remaining.as_mut() } {
        remaining.tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        remaining.tv_nsec = i64::from(left.subsec_nanos());
    }
}

/// clock_nanosleep(2), which returns the error's number and keeps errno.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn clock_nanosleep(
    clock: libc::clockid_t,
    flags: c_int,
    request: *const timespec,
    remaining: *mut timespec,
) -> c_int {
    // Clocks of processor time do not advance while other tasklets run.
    let is_ours = matches!(
        clock,
        libc::CLOCK_REALTIME | libc::CLOCK_MONOTONIC | libc::CLOCK_BOOTTIME | libc::CLOCK_TAI
    );
    // SAFETY: the caller's promise.
    let span = unsafe { request.as_ref() }.and_then(duration).filter(|_| is_ours);
    let (Some(span), Some(call)) = (span, Call::begin(Symbol::clock_nanosleep)) else {
        // SAFETY: the caller's promise, handed on.
        let outcome = unsafe { call!(clock_nanosleep, clock, flags, request, remaining) };
        return -outcome as c_int;
    };
    let is_moment = flags & libc::TIMER_ABSTIME != 0;
    let span = if is_moment { until(clock, span) } else { span };
    let Some(left) = sleep_for(&call, span) else { return 0 };
    if !is_moment {
        // SAFETY: the caller's promise.
        unsafe { write_remaining(left, remaining) };
    }
    libc::EINTR
}

/// nanosleep(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn nanosleep(
    request: *const timespec,
    remaining: *mut timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { sleep_by(Symbol::nanosleep, request, remaining) })
}

unsafe fn sleep_by(symbol: Symbol, request: *const timespec, remaining: *mut timespec) -> Outcome {
    // SAFETY: the caller's promise.
    let span = unsafe { request.as_ref() }.and_then(duration);
    let (Some(span), Some(call)) = (span, Call::begin(symbol)) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { call!(nanosleep, request, remaining) };
    };
    let Some(left) = sleep_for(&call, span) else { return 0 };
    // SAFETY: the caller's promise.
    unsafe { write_remaining(left, remaining) };
    INTERRUPTED
}

/// usleep(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn usleep(microseconds: c_uint) -> c_int {
    let time = timespec {
        tv_sec: i64::from(microseconds / 1_000_000),
        tv_nsec: i64::from(microseconds % 1_000_000) * 1000,
    };
    // SAFETY: borrowed for the call; the remaining time is not asked for.
    give_int(unsafe { sleep_by(Symbol::usleep, &time, std::ptr::null_mut()) })
}

/// sleep(3), which returns the remaining whole seconds if a signal ends it early.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn sleep(seconds: c_uint) -> c_uint {
    let time = timespec { tv_sec: i64::from(seconds), tv_nsec: 0 };
    let mut left = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: borrowed for the call.
    match unsafe { sleep_by(Symbol::sleep, &time, &mut left) } {
        0 => 0,
        _ => left.tv_sec as c_uint + c_uint::from(left.tv_nsec >= NANOSECONDS / 2),
    }
}

/// sched_yield(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn sched_yield() -> c_int {
    if let Some(call) = Call::begin(Symbol::sched_yield) {
        call.count();
        yield_now();
        return 0;
    }
    // SAFETY: the call accesses no memory.
    give_int(unsafe { call!(sched_yield) })
}
