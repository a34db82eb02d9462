//! Condition variables: tasklets wait in the table, threads in libc.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use libc::{clockid_t, pthread_cond_t, pthread_condattr_t, pthread_mutex_t, timespec};
use libc::{pthread_condattr_init, pthread_condattr_setclock, pthread_condattr_setpshared};

use super::mutex::{CallContext, call_as_mutex_owner, lock, unlock};
use super::{ALL, RECHECK_INTERVAL, limit_at};
use crate::caller::Call;
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, wake};
use crate::wait::Limit;

type OfCond = unsafe extern "C" fn(*mut pthread_cond_t) -> c_int;
type Wait = unsafe extern "C" fn(*mut pthread_cond_t, *mut pthread_mutex_t) -> c_int;
type Timed =
    unsafe extern "C" fn(*mut pthread_cond_t, *mut pthread_mutex_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(
    *mut pthread_cond_t,
    *mut pthread_mutex_t,
    clockid_t,
    *const timespec,
) -> c_int;

/// The symbol version of the functions of which glibc on x86-64 has an older version, too.
const VERSION: Option<&std::ffi::CStr> =
    if cfg!(target_arch = "x86_64") { Some(c"GLIBC_2.3.2") } else { None };

/// Bits in glibc's flags of a condition variable.
const SHARED: c_int = 1;
const MONOTONIC: c_int = 2;

/// Returns the offset of these flags in bytes; `None` if they are not found. It differs between
/// releases of glibc, so a condition variable with both bits is made and searched.
pub(crate) fn flags_offset() -> Option<usize> {
    const WORD: usize = size_of::<c_int>();
    static PLACE: AtomicUsize = AtomicUsize::new(0);
    let known = PLACE.load(Relaxed);
    if known != 0 {
        return Some(known);
    }
    let (mut attributes, mut cond) = (MaybeUninit::uninit(), MaybeUninit::zeroed());
    let mut words = [0; size_of::<pthread_cond_t>() / WORD];
    // SAFETY: both are initialised before they are used, and destroyed. The copy is as large as the
    // condition variable, which is initialised whole.
    unsafe {
        let of: *mut pthread_condattr_t = attributes.as_mut_ptr();
        pthread_condattr_init(of);
        pthread_condattr_setpshared(of, libc::PTHREAD_PROCESS_SHARED);
        pthread_condattr_setclock(of, libc::CLOCK_MONOTONIC);
        libc::pthread_cond_init(cond.as_mut_ptr(), of);
        words.as_mut_ptr().copy_from(cond.as_ptr().cast(), words.len());
        libc::pthread_cond_destroy(cond.as_mut_ptr());
        libc::pthread_condattr_destroy(of);
    }
    let mut others = words.iter().enumerate().filter(|(_, word)| **word != 0);
    match (others.next(), others.next()) {
        (Some((at, &word)), None) if at > 0 && word == SHARED | MONOTONIC => {
            PLACE.store(at * WORD, Relaxed);
            Some(at * WORD)
        }
        _ => None,
    }
}

unsafe fn flags(cond: *mut pthread_cond_t) -> c_int {
    // `install` refuses if they are not found.
    let Some(offset) = flags_offset() else { return 0 };
    // SAFETY: the caller's promise: it is a condition variable.
    unsafe { cond.cast::<u8>().add(offset).cast::<c_int>().read_volatile() }
}

unsafe fn clock_of(cond: *mut pthread_cond_t) -> clockid_t {
    // SAFETY: the caller's promise.
    match unsafe { flags(cond) } & MONOTONIC {
        0 => libc::CLOCK_REALTIME,
        _ => libc::CLOCK_MONOTONIC,
    }
}

unsafe fn wait(
    call: &Call,
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    limit: &Limit,
) -> c_int {
    // A pthread_cond_signal in another process is not seen here, so the wait ends spuriously, at
    // intervals.
    // SAFETY: the caller's promise.
    let is_shared = unsafe { flags(cond) } & SHARED != 0;
    let spurious: Option<Duration> = is_shared.then_some(RECHECK_INTERVAL);
    // The tasklet enters the table before the mutex is unlocked, so that a pthread_cond_signal
    // after the unlock finds it.
    let what = "a condition variable of C's";
    let from = if is_shared { WakeSource::Anywhere(what) } else { WakeSource::Threads(what) };
    let waiter = Waiter::enter(cond.addr(), from);
    // SAFETY: the caller's promise: it holds the mutex.
    match unsafe { unlock(CallContext::Call(call), mutex) } {
        0 => {}
        error => return error,
    }
    let is_woken = waiter.wait(call, spurious, limit.left()) || !waiter.leave();
    // SAFETY: as above.
    match unsafe { lock(call, mutex, None) } {
        0 if is_woken || !limit.is_over() => 0,
        0 => libc::ETIMEDOUT,
        error => error,
    }
}

/// pthread_cond_wait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_cond_wait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
) -> c_int {
    let real: Wait = next!(pthread_cond_wait, VERSION);
    match Call::begin_lock(Symbol::pthread_cond_wait) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => unsafe { wait(&call, cond, mutex, &Limit::new(None)) },
        // SAFETY: as above.
        None => unsafe {
            call_as_mutex_owner(
                CallContext::Function(Symbol::pthread_cond_wait),
                mutex,
                move || real(cond, mutex),
            )
        },
    }
}

/// pthread_cond_timedwait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_cond_timedwait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    moment: *const timespec,
) -> c_int {
    let real: Timed = next!(pthread_cond_timedwait, VERSION);
    let Some(call) = Call::begin_lock(Symbol::pthread_cond_timedwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe {
            call_as_mutex_owner(
                CallContext::Function(Symbol::pthread_cond_timedwait),
                mutex,
                move || real(cond, mutex, moment),
            )
        };
    };
    // SAFETY: as above.
    match unsafe { limit_at(clock_of(cond), moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { wait(&call, cond, mutex, &limit) },
        None => libc::EINVAL,
    }
}

/// pthread_cond_clockwait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_cond_clockwait(
    cond: *mut pthread_cond_t,
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    let real: Clocked = next!(pthread_cond_clockwait);
    let Some(call) = Call::begin_lock(Symbol::pthread_cond_clockwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe {
            call_as_mutex_owner(
                CallContext::Function(Symbol::pthread_cond_clockwait),
                mutex,
                move || real(cond, mutex, clock, moment),
            )
        };
    };
    // SAFETY: as above.
    match unsafe { limit_at(clock, moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { wait(&call, cond, mutex, &limit) },
        None => libc::EINVAL,
    }
}

/// pthread_cond_signal(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_cond_signal(cond: *mut pthread_cond_t) -> c_int {
    let real: OfCond = next!(pthread_cond_signal, VERSION);
    if wake(cond.addr(), 1, ALL) > 0 {
        return 0;
    }
    // SAFETY: the caller's promise, handed on.
    unsafe { real(cond) }
}

/// pthread_cond_broadcast(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_cond_broadcast(cond: *mut pthread_cond_t) -> c_int {
    let real: OfCond = next!(pthread_cond_broadcast, VERSION);
    wake(cond.addr(), usize::MAX, ALL);
    // SAFETY: the caller's promise, handed on.
    unsafe { real(cond) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notes_of_a_condition_variable_are_found() {
        // glibc up to 2.40, and later.
        assert!(matches!(flags_offset(), Some(36 | 28)), "{:?}", flags_offset());
    }
}
