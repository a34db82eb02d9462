//! Locks for readers and writers. glibc knows the writer by its number, and checks it at an unlock.

use std::ffi::c_int;

use libc::{clockid_t, pthread_rwlock_t, timespec};

use super::owner::{as_owner, is_mine};
use super::{ALL, LockWait, RECHECK_INTERVAL, limit_at};
use crate::caller::Call;
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::{Waiter, WakeSource, wake};
use crate::wait::Limit;

type OfLock = unsafe extern "C" fn(*mut pthread_rwlock_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut pthread_rwlock_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut pthread_rwlock_t, clockid_t, *const timespec) -> c_int;

/// Tells whether the caller holds the lock for writing.
///
/// # Safety
/// `lock` is such a lock.
unsafe fn is_written_by_me(lock: *mut pthread_rwlock_t) -> bool {
    // This is glibc's field. It has a thread's number, which is never a tasklet's, if the layout
    // differs.
    const WRITER: usize = 24;
    // SAFETY: the caller's promise.
    is_mine(unsafe { lock.cast::<u8>().add(WRITER).cast::<c_int>().read_volatile() })
}

/// The description in dumps and deadlock reports.
const LOCK: &str = "a lock of C's for readers and writers";

/// Tells whether several processes share the lock.
///
/// # Safety
/// `lock` is such a lock.
unsafe fn is_shared(lock: *mut pthread_rwlock_t) -> bool {
    const SHARED: usize = 28;
    // SAFETY: the caller's promise.
    unsafe { lock.cast::<u8>().add(SHARED).cast::<c_int>().read_volatile() != 0 }
}

/// Locks for a tasklet, as `mutex::lock` does.
///
/// # Safety
/// `lock` is such a lock.
unsafe fn lock(
    call: &Call,
    lock: *mut pthread_rwlock_t,
    try_: OfLock,
    limit: impl FnOnce() -> Option<Limit>,
) -> c_int {
    // SAFETY: the caller's promise.
    let attempt = || match as_owner(|| unsafe { try_(lock) }) {
        libc::EBUSY => None,
        other => Some(other),
    };
    if let Some(outcome) = attempt() {
        return outcome;
    }
    // SAFETY: as above.
    if unsafe { is_written_by_me(lock) } {
        return libc::EDEADLK;
    }
    // SAFETY: as above.
    let enter = match unsafe { is_shared(lock) } {
        true => |address| Waiter::enter(address, WakeSource::Anywhere(LOCK)),
        false => |address| Waiter::enter(address, WakeSource::Threads(LOCK)),
    };
    let recheck = Some(RECHECK_INTERVAL);
    match limit() {
        Some(limit) => {
            LockWait { address: lock.addr(), enter, recheck, attempt }.wait(call, &limit)
        }
        None => libc::EINVAL,
    }
}

macro_rules! locks {
    ($($name:ident $timed:ident $clocked:ident $try_:ident;)*) => {$(
        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name(this: *mut pthread_rwlock_t) -> c_int {
            let real: OfLock = next!($name);
            let attempt: OfLock = next!($try_);
            // SAFETY: the caller's promise, handed on.
            unsafe {
                match Call::begin_lock(Symbol::$name) {
                    Some(call) => lock(&call, this, attempt, || Some(Limit::new(None))),
                    None => as_owner(|| real(this)),
                }
            }
        }

        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $timed(
            this: *mut pthread_rwlock_t,
            moment: *const timespec,
        ) -> c_int {
            let real: Timed = next!($timed);
            let attempt: OfLock = next!($try_);
            const CLOCK: clockid_t = libc::CLOCK_REALTIME;
            // SAFETY: the caller's promise, handed on.
            unsafe {
                match Call::begin_lock(Symbol::$timed) {
                    Some(call) => lock(&call, this, attempt, || limit_at(CLOCK, moment)),
                    None => as_owner(|| real(this, moment)),
                }
            }
        }

        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $clocked(
            this: *mut pthread_rwlock_t,
            clock: clockid_t,
            moment: *const timespec,
        ) -> c_int {
            let real: Clocked = next!($clocked);
            let attempt: OfLock = next!($try_);
            // SAFETY: the caller's promise, handed on.
            unsafe {
                match Call::begin_lock(Symbol::$clocked) {
                    Some(call) => lock(&call, this, attempt, || limit_at(clock, moment)),
                    None => as_owner(|| real(this, clock, moment)),
                }
            }
        }

        /// Does what its manual page says.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $try_(this: *mut pthread_rwlock_t) -> c_int {
            let real: OfLock = next!($try_);
            // SAFETY: the caller's promise, handed on.
            as_owner(|| unsafe { real(this) })
        }
    )*};
}

locks! {
    pthread_rwlock_rdlock pthread_rwlock_timedrdlock pthread_rwlock_clockrdlock
        pthread_rwlock_tryrdlock;
    pthread_rwlock_wrlock pthread_rwlock_timedwrlock pthread_rwlock_clockwrlock
        pthread_rwlock_trywrlock;
}

/// pthread_rwlock_unlock(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pthread_rwlock_unlock(lock: *mut pthread_rwlock_t) -> c_int {
    let real: OfLock = next!(pthread_rwlock_unlock);
    let address = lock.addr();
    // SAFETY: the caller's promise, handed on.
    let outcome = as_owner(|| unsafe { real(lock) });
    // All readers may continue.
    wake(address, usize::MAX, ALL);
    outcome
}
