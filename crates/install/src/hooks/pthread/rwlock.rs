//! Locks for readers and writers.

use std::ffi::c_int;

use libc::{clockid_t, pthread_rwlock_t, timespec};

use super::{ALL, LOOK_AGAIN, limit_at, until_free};
use crate::caller::Call;
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::wake;
use crate::wait::Limit;

type OfLock = unsafe extern "C" fn(*mut pthread_rwlock_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut pthread_rwlock_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut pthread_rwlock_t, clockid_t, *const timespec) -> c_int;

unsafe fn lock(call: &Call, lock: *mut pthread_rwlock_t, try_: OfLock, limit: &Limit) -> c_int {
    // SAFETY: the caller's promise: it is a lock.
    let attempt = || match unsafe { try_(lock) } {
        libc::EBUSY => None,
        other => Some(other),
    };
    attempt().unwrap_or_else(|| until_free(call, lock.addr(), limit, Some(LOOK_AGAIN), attempt))
}

macro_rules! locks {
    ($($name:ident $timed:ident $clocked:ident $try_:ident;)*) => {$(
        /// As its manual page says.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name(this: *mut pthread_rwlock_t) -> c_int {
            let real: OfLock = next!($name);
            let attempt: OfLock = next!($try_);
            match Call::begin(Symbol::$name) {
                // SAFETY: the caller's promise, handed on.
                Some(call) => unsafe { lock(&call, this, attempt, &Limit::new(None)) },
                // SAFETY: as above.
                None => unsafe { real(this) },
            }
        }

        /// As its manual page says.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $timed(
            this: *mut pthread_rwlock_t,
            moment: *const timespec,
        ) -> c_int {
            let real: Timed = next!($timed);
            let attempt: OfLock = next!($try_);
            let Some(call) = Call::begin(Symbol::$timed) else {
                // SAFETY: the caller's promise, handed on.
                return unsafe { real(this, moment) };
            };
            // SAFETY: as above.
            match unsafe { limit_at(libc::CLOCK_REALTIME, moment) } {
                // SAFETY: as above.
                Some(limit) => unsafe { lock(&call, this, attempt, &limit) },
                None => libc::EINVAL,
            }
        }

        /// As its manual page says.
        #[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $clocked(
            this: *mut pthread_rwlock_t,
            clock: clockid_t,
            moment: *const timespec,
        ) -> c_int {
            let real: Clocked = next!($clocked);
            let attempt: OfLock = next!($try_);
            let Some(call) = Call::begin(Symbol::$clocked) else {
                // SAFETY: the caller's promise, handed on.
                return unsafe { real(this, clock, moment) };
            };
            // SAFETY: as above.
            match unsafe { limit_at(clock, moment) } {
                // SAFETY: as above.
                Some(limit) => unsafe { lock(&call, this, attempt, &limit) },
                None => libc::EINVAL,
            }
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
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_rwlock_unlock(lock: *mut pthread_rwlock_t) -> c_int {
    let real: OfLock = next!(pthread_rwlock_unlock);
    let address = lock.addr();
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(lock) };
    // Readers may all go on.
    wake(address, usize::MAX, ALL);
    outcome
}
