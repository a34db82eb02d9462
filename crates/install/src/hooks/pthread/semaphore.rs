//! Semaphores.

use std::ffi::c_int;
use std::time::Duration;

use libc::{clockid_t, sem_t, timespec};

use super::{ALL, LOOK_AGAIN, limit_at, until_free};
use crate::caller::Call;
use crate::next::next;
use crate::raw::{INVALID, errno, give_int};
use crate::symbols::Symbol;
use crate::table::wake;
use crate::wait::Limit;

type OfSemaphore = unsafe extern "C" fn(*mut sem_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut sem_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut sem_t, clockid_t, *const timespec) -> c_int;

unsafe fn take(call: &Call, semaphore: *mut sem_t, limit: &Limit) -> c_int {
    let real: OfSemaphore = next!(sem_trywait);
    // SAFETY: the caller's promise: it is a semaphore.
    let attempt = || match unsafe { real(semaphore) } {
        0 => Some(0),
        _ if errno() == libc::EAGAIN => None,
        _ => Some(errno()),
    };
    // glibc notes here whether it is several processes'.
    const SHARED: usize = 8;
    // SAFETY: as above.
    let shared = unsafe { semaphore.cast::<u8>().add(SHARED).cast::<c_int>().read_volatile() };
    let look_again: Option<Duration> = (shared != 0).then_some(LOOK_AGAIN);
    let outcome =
        attempt().unwrap_or_else(|| until_free(call, semaphore.addr(), limit, look_again, attempt));
    give_int(-(outcome as isize))
}

/// sem_wait(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_wait(semaphore: *mut sem_t) -> c_int {
    let real: OfSemaphore = next!(sem_wait);
    match Call::begin(Symbol::sem_wait) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => unsafe { take(&call, semaphore, &Limit::new(None)) },
        // SAFETY: as above.
        None => unsafe { real(semaphore) },
    }
}

/// sem_timedwait(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_timedwait(
    semaphore: *mut sem_t,
    moment: *const timespec,
) -> c_int {
    let real: Timed = next!(sem_timedwait);
    let Some(call) = Call::begin(Symbol::sem_timedwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(semaphore, moment) };
    };
    // SAFETY: as above.
    match unsafe { limit_at(libc::CLOCK_REALTIME, moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { take(&call, semaphore, &limit) },
        None => give_int(INVALID),
    }
}

/// sem_clockwait(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_clockwait(
    semaphore: *mut sem_t,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    let real: Clocked = next!(sem_clockwait);
    let Some(call) = Call::begin(Symbol::sem_clockwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(semaphore, clock, moment) };
    };
    // SAFETY: as above.
    match unsafe { limit_at(clock, moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { take(&call, semaphore, &limit) },
        None => give_int(INVALID),
    }
}

/// sem_post(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sem_post(semaphore: *mut sem_t) -> c_int {
    let real: OfSemaphore = next!(sem_post);
    let address = semaphore.addr();
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(semaphore) };
    if outcome == 0 {
        wake(address, 1, ALL);
    }
    outcome
}
