//! Mutexes and spin locks. glibc keeps their state; see [`owner`](super::owner) for their owners.

use std::ffi::c_int;
use std::time::Duration;

use libc::{clockid_t, pthread_mutex_t, pthread_spinlock_t, timespec};
use overlapped::task::shield;
use overlapped::time::sleep;
use overlapped::yield_now;

use super::owner::{Ownership, as_owner, is_mine, proxy};
use super::{ALL, LockWait, RECHECK_INTERVAL, limit_at};
use crate::caller::{Call, is_ours};
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, wake};
use crate::wait::Limit;

type OfMutex = unsafe extern "C" fn(*mut pthread_mutex_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut pthread_mutex_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut pthread_mutex_t, clockid_t, *const timespec) -> c_int;
type OfSpinLock = unsafe extern "C" fn(*mut pthread_spinlock_t) -> c_int;

/// The description in dumps and deadlock reports.
const MUTEX: &str = "a mutex of C's";

/// The context in which a function of glibc is called.
#[derive(Clone, Copy)]
pub(super) enum CallContext<'a> {
    /// A call that has begun.
    Call(&'a Call),
    /// A call that begins if the caller has to wait for its proxy, and may.
    Function(Symbol),
}

/// Calls a function of glibc's with a mutex, as its owner if that matters.
///
/// # Safety
/// `mutex` is a mutex; `f` may be called on another thread while the caller waits.
pub(super) unsafe fn call_as_mutex_owner(
    by: CallContext<'_>,
    mutex: *mut pthread_mutex_t,
    f: impl FnOnce() -> c_int + 'static,
) -> c_int {
    match is_ours() {
        // SAFETY: the caller's promise, handed on.
        true => unsafe { call_as_tasklet(Ownership::from_mutex(mutex), by, f) },
        false => f(),
    }
}

/// Calls a function as [`call_as_mutex_owner`] does, for a tasklet.
///
/// # Safety
/// As above, and the mutex has this ownership.
unsafe fn call_as_tasklet(
    ownership: Ownership,
    by: CallContext<'_>,
    f: impl FnOnce() -> c_int + 'static,
) -> c_int {
    match ownership {
        Ownership::Unchecked => f(),
        Ownership::Recursive | Ownership::ErrorChecking => as_owner(f),
        // SAFETY: the caller's promise.
        Ownership::ByProxy => unsafe {
            match by {
                CallContext::Call(call) => proxy::call(Some(call), f),
                CallContext::Function(symbol) => proxy::call(Call::begin_lock(symbol).as_ref(), f),
            }
        },
        Ownership::Unsupported => libc::ENOTSUP,
    }
}

/// Tells whether the mutex checks for errors, and the caller owns it.
///
/// # Safety
/// `mutex` is a mutex.
unsafe fn checks_and_is_mine(mutex: *mut pthread_mutex_t) -> bool {
    // The offset is a part of glibc's ABI.
    const OWNER: usize = 8;
    // SAFETY: the caller's promise.
    unsafe {
        let owner = || mutex.cast::<u8>().add(OWNER).cast::<c_int>().read_volatile();
        Ownership::from_mutex(mutex) == Ownership::ErrorChecking && is_mine(owner())
    }
}

/// Unlocks, for tasklets and all other callers.
///
/// # Safety
/// `mutex` is a mutex.
pub(super) unsafe fn unlock(by: CallContext<'_>, mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_unlock);
    let address = mutex.addr();
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { call_as_mutex_owner(by, mutex, move || real(mutex)) };
    wake(address, 1, ALL);
    outcome
}

/// A moment of a clock, at which a call gives up.
type Moment = (clockid_t, *const timespec);

/// Locks by glibc, which blocks the thread, or waits for the proxy.
///
/// # Safety
/// `mutex` is a mutex, and the moment's pointer is valid.
unsafe fn lock_by_glibc(
    by: CallContext<'_>,
    mutex: *mut pthread_mutex_t,
    until: Option<Moment>,
) -> c_int {
    match until {
        None => {
            let real: OfMutex = next!(pthread_mutex_lock);
            // SAFETY: the caller's promise, handed on.
            unsafe { call_as_mutex_owner(by, mutex, move || real(mutex)) }
        }
        Some((libc::CLOCK_REALTIME, moment)) => {
            let real: Timed = next!(pthread_mutex_timedlock);
            // SAFETY: as above.
            unsafe { call_as_mutex_owner(by, mutex, move || real(mutex, moment)) }
        }
        Some((clock, moment)) => {
            let real: Clocked = next!(pthread_mutex_clocklock);
            // SAFETY: as above.
            unsafe { call_as_mutex_owner(by, mutex, move || real(mutex, clock, moment)) }
        }
    }
}

/// Locks for a tasklet, until a moment, which matters only if there is something to wait for.
///
/// # Safety
/// `mutex` is a mutex, and the moment's pointer is valid.
pub(super) unsafe fn lock(
    call: &Call,
    mutex: *mut pthread_mutex_t,
    until: Option<Moment>,
) -> c_int {
    // SAFETY: the caller's promise.
    let ownership = unsafe { Ownership::from_mutex(mutex) };
    if ownership == Ownership::ByProxy {
        // SAFETY: as above.
        return unsafe { lock_by_glibc(CallContext::Call(call), mutex, until) };
    }
    let real: OfMutex = next!(pthread_mutex_trylock);
    // SAFETY: as above.
    let attempt = || match unsafe {
        call_as_tasklet(ownership, CallContext::Call(call), move || real(mutex))
    } {
        libc::EBUSY => None,
        other => Some(other),
    };
    if let Some(outcome) = attempt() {
        return outcome;
    }
    // SAFETY: as above.
    if unsafe { checks_and_is_mine(mutex) } {
        return libc::EDEADLK;
    }
    // SAFETY: as above.
    let enter = match unsafe { Ownership::is_shared(mutex) } {
        true => |address| Waiter::enter(address, WakeSource::Anywhere(MUTEX)),
        false => |address| Waiter::enter(address, WakeSource::Threads(MUTEX)),
    };
    let recheck = Some(RECHECK_INTERVAL);
    let limit = match until {
        None => Some(Limit::new(None)),
        // SAFETY: as above.
        Some((clock, moment)) => unsafe { limit_at(clock, moment) },
    };
    match limit {
        Some(limit) => {
            LockWait { address: mutex.addr(), enter, recheck, attempt }.wait(call, &limit)
        }
        None => libc::EINVAL,
    }
}

/// Locks, for tasklets and all other callers.
///
/// # Safety
/// `mutex` is a mutex, and the moment's pointer is valid.
unsafe fn lock_for(symbol: Symbol, mutex: *mut pthread_mutex_t, until: Option<Moment>) -> c_int {
    match Call::begin_lock(symbol) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => unsafe { lock(&call, mutex, until) },
        // SAFETY: as above.
        None => unsafe { lock_by_glibc(CallContext::Function(symbol), mutex, until) },
    }
}

/// pthread_mutex_lock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { lock_for(Symbol::pthread_mutex_lock, mutex, None) }
}

/// pthread_mutex_trylock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_trylock(mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_trylock);
    // SAFETY: the caller's promise, handed on.
    unsafe {
        call_as_mutex_owner(
            CallContext::Function(Symbol::pthread_mutex_trylock),
            mutex,
            move || real(mutex),
        )
    }
}

/// pthread_mutex_timedlock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_timedlock(
    mutex: *mut pthread_mutex_t,
    moment: *const timespec,
) -> c_int {
    let until = Some((libc::CLOCK_REALTIME, moment));
    // SAFETY: the caller's promise, handed on.
    unsafe { lock_for(Symbol::pthread_mutex_timedlock, mutex, until) }
}

/// pthread_mutex_clocklock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_clocklock(
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { lock_for(Symbol::pthread_mutex_clocklock, mutex, Some((clock, moment))) }
}

/// pthread_mutex_unlock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { unlock(CallContext::Function(Symbol::pthread_mutex_unlock), mutex) }
}

/// pthread_mutex_consistent(3), which records the caller as the owner.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_mutex_consistent(mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_consistent);
    // SAFETY: the caller's promise, handed on.
    unsafe {
        call_as_mutex_owner(
            CallContext::Function(Symbol::pthread_mutex_consistent),
            mutex,
            move || real(mutex),
        )
    }
}

/// pthread_spin_lock(3), which tries at intervals, since this crate cannot see an unlock. Between
/// two tries other tasklets run, one of which may hold the lock.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_spin_lock(lock: *mut pthread_spinlock_t) -> c_int {
    const YIELDS: u32 = 100;
    const PAUSE: Duration = Duration::from_millis(1);
    let real: OfSpinLock = next!(pthread_spin_lock);
    let attempt: OfSpinLock = next!(pthread_spin_trylock);
    let Some(call) = Call::begin_lock(Symbol::pthread_spin_lock) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(lock) };
    };
    let mut yields = 0;
    loop {
        // SAFETY: as above.
        match unsafe { attempt(lock) } {
            libc::EBUSY if yields == 0 => call.count(),
            libc::EBUSY => {}
            other => return other,
        }
        yields += 1;
        shield(|| if yields < YIELDS { yield_now() } else { sleep(PAUSE) });
    }
}
