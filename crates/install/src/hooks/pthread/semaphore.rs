//! Semaphores.

use std::ffi::c_int;
use std::time::Duration;

use libc::{clockid_t, sem_t, timespec};
use overlapped::signal::interruptible;

use super::{LockWait, RECHECK_INTERVAL, limit_at};
use crate::caller::Call;
use crate::next::next;
use crate::raw::{errno, give_int};
use crate::symbols::Symbol;
use crate::table::{Waiter, record_post};
use crate::wait::Limit;

type OfSemaphore = unsafe extern "C" fn(*mut sem_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut sem_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut sem_t, clockid_t, *const timespec) -> c_int;

/// Decrements the semaphore for a tasklet; if that has to wait, until the limit that `limit`
/// returns. A malformed limit (`None`) is an error only then.
unsafe fn take(call: &Call, semaphore: *mut sem_t, limit: impl FnOnce() -> Option<Limit>) -> c_int {
    let real: OfSemaphore = next!(sem_trywait);
    // SAFETY: the caller's promise: it is a semaphore.
    let attempt = || match unsafe { real(semaphore) } {
        0 => Some(0),
        _ if errno() == libc::EAGAIN => None,
        _ => Some(errno()),
    };
    // glibc's flag at this offset tells whether several processes share it.
    const SHARED: usize = 8;
    // SAFETY: as above.
    let shared = unsafe { semaphore.cast::<u8>().add(SHARED).cast::<c_int>().read_volatile() };
    let recheck: Option<Duration> = (shared != 0).then_some(RECHECK_INTERVAL);
    let address = semaphore.addr();
    let lock_wait = LockWait { address, enter: Waiter::enter_for_post, recheck, attempt };
    let wait = || match limit() {
        Some(limit) => interruptible(call.restart(false), || lock_wait.wait(call, &limit)),
        None => libc::EINVAL,
    };
    give_int(-(attempt().unwrap_or_else(wait) as isize))
}

/// sem_wait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sem_wait(semaphore: *mut sem_t) -> c_int {
    let real: OfSemaphore = next!(sem_wait);
    match Call::begin_lock(Symbol::sem_wait) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => unsafe { take(&call, semaphore, || Some(Limit::new(None))) },
        // SAFETY: as above.
        None => unsafe { real(semaphore) },
    }
}

/// sem_timedwait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sem_timedwait(
    semaphore: *mut sem_t,
    moment: *const timespec,
) -> c_int {
    let real: Timed = next!(sem_timedwait);
    let Some(call) = Call::begin_lock(Symbol::sem_timedwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(semaphore, moment) };
    };
    // SAFETY: as above.
    unsafe { take(&call, semaphore, || limit_at(libc::CLOCK_REALTIME, moment)) }
}

/// sem_clockwait(3).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sem_clockwait(
    semaphore: *mut sem_t,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    let real: Clocked = next!(sem_clockwait);
    let Some(call) = Call::begin_lock(Symbol::sem_clockwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(semaphore, clock, moment) };
    };
    // SAFETY: as above.
    unsafe { take(&call, semaphore, || limit_at(clock, moment)) }
}

fn real_post() -> OfSemaphore {
    next!(sem_post)
}

#[cfg(not(target_feature = "crt-static"))]
extern "C" fn look_up() {
    real_post();
}

/// A call when the program is loaded, which looks libc's sem_post(3) up: signal handlers must not
/// call dlsym(3).
#[cfg(not(target_feature = "crt-static"))]
#[used]
#[unsafe(link_section = ".init_array")]
static AT_LOAD: extern "C" fn() = look_up;

/// sem_post(3). Async-signal-safe.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sem_post(semaphore: *mut sem_t) -> c_int {
    let real = real_post();
    let address = semaphore.addr();
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(semaphore) };
    if outcome == 0 {
        record_post(address);
    }
    outcome
}
