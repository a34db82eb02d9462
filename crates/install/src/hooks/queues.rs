//! POSIX message queues. A try is a call whose time has passed: it returns ETIMEDOUT if it would
//! wait, and EAGAIN in non-blocking mode, as ever.

use std::ffi::{c_char, c_int, c_uint};
use std::time::Duration;

use libc::{mqd_t, timespec};

use crate::caller::Call;
use crate::query::Direction;
use crate::raw::{AGAIN, INVALID, Outcome, TIMED_OUT, call, give, give_int};
use crate::symbols::Symbol;
use crate::timespec::{duration, until};
use crate::wait::{Limit, ready};

/// Makes the call `kernel` with the caller's limit. A tasklet tries, and waits between tries.
unsafe fn transfer(
    symbol: Symbol,
    (queue, direction): (mqd_t, Direction),
    limit: *const timespec,
    kernel: impl Fn(*const timespec) -> Outcome,
) -> Outcome {
    let Some(call) = Call::begin(symbol) else { return kernel(limit) };
    let past = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the caller's promise.
    let moment: Option<Duration> = match unsafe { limit.as_ref() }.map(duration) {
        None => None,
        Some(Some(moment)) => Some(moment),
        Some(None) => return INVALID,
    };
    let end = Limit::new(moment.map(|moment| until(libc::CLOCK_REALTIME, moment)));
    loop {
        match kernel(&past) {
            TIMED_OUT if !end.is_over() => {}
            other => return other,
        }
        match ready(&call, queue, direction, end.left()) {
            0 | AGAIN => {}
            error => return error,
        }
    }
}

/// mq_send(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mq_send(
    queue: mqd_t,
    message: *const c_char,
    len: usize,
    priority: c_uint,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { mq_timedsend(queue, message, len, priority, std::ptr::null()) }
}

/// mq_timedsend(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mq_timedsend(
    queue: mqd_t,
    message: *const c_char,
    len: usize,
    priority: c_uint,
    limit: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe {
        transfer(Symbol::mq_timedsend, (queue, Direction::Out), limit, |limit| {
            call!(mq_timedsend, queue, message, len, priority, limit)
        })
    })
}

/// mq_receive(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mq_receive(
    queue: mqd_t,
    message: *mut c_char,
    len: usize,
    priority: *mut c_uint,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    unsafe { mq_timedreceive(queue, message, len, priority, std::ptr::null()) }
}

/// mq_timedreceive(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn mq_timedreceive(
    queue: mqd_t,
    message: *mut c_char,
    len: usize,
    priority: *mut c_uint,
    limit: *const timespec,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(unsafe {
        transfer(Symbol::mq_timedreceive, (queue, Direction::In), limit, |limit| {
            call!(mq_timedreceive, queue, message, len, priority, limit)
        })
    })
}
