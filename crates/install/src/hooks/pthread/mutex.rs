//! Mutexes. libc knows an owner by the number of its thread, which tasklets of one thread share: a
//! recursive mutex would let a neighbour in. So who owns one is kept here, too.

use std::ffi::c_int;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use libc::{clockid_t, pthread_mutex_t, timespec};
use overlapped::task::{TaskletId, in_tasklet};

use super::{ALL, LOOK_AGAIN, limit_at, until_free};
use crate::caller::Call;
use crate::next::next;
use crate::symbols::Symbol;
use crate::table::wake;
use crate::wait::Limit;

type OfMutex = unsafe extern "C" fn(*mut pthread_mutex_t) -> c_int;
type Timed = unsafe extern "C" fn(*mut pthread_mutex_t, *const timespec) -> c_int;
type Clocked = unsafe extern "C" fn(*mut pthread_mutex_t, clockid_t, *const timespec) -> c_int;

/// A mutex whose owner matters, and the tasklet that owns it.
struct Owner {
    mutex: usize,
    tasklet: TaskletId,
    depth: usize,
}

/// Those that tasklets own; few, since most mutexes have no owner.
struct Owners {
    locked: AtomicBool,
    list: std::cell::UnsafeCell<Vec<Owner>>,
}

// SAFETY: `list` is touched only by who holds `locked`.
unsafe impl Sync for Owners {}

static OWNERS: Owners =
    Owners { locked: AtomicBool::new(false), list: std::cell::UnsafeCell::new(Vec::new()) };
/// Their number.
static OWNED: AtomicUsize = AtomicUsize::new(0);

fn with_owners<T>(f: impl FnOnce(&mut Vec<Owner>) -> T) -> T {
    while OWNERS.locked.swap(true, Acquire) {
        std::hint::spin_loop();
    }
    // SAFETY: the lock is held.
    let list = unsafe { &mut *OWNERS.list.get() };
    let result = f(list);
    OWNED.store(list.len(), Relaxed);
    OWNERS.locked.store(false, Release);
    result
}

/// Forgets all owners, in a child of fork(2): those who were at the list are no more. (What it held
/// is not freed.) Async-signal-safe.
pub(crate) fn forget_owners() {
    // SAFETY: this is the only thread. An empty list has no memory, so none is asked for.
    unsafe { OWNERS.list.get().write(Vec::new()) };
    OWNED.store(0, Relaxed);
    OWNERS.locked.store(false, Release);
}

/// Tells whether the owner matters: the mutex is recursive, or checks for errors.
///
/// # Safety
/// It is a mutex.
unsafe fn has_owner(mutex: *mut pthread_mutex_t) -> bool {
    // A part of glibc's ABI: static initialisers write it. Normal is 0, adaptive 3.
    const KIND: usize = 16;
    // SAFETY: the caller's promise.
    let kind = unsafe { mutex.cast::<u8>().add(KIND).cast::<c_int>().read_volatile() };
    matches!(kind & 3, 1 | 2)
}

/// Tries for a tasklet. `None`: another one has it.
///
/// # Safety
/// It is a mutex.
unsafe fn attempt(mutex: *mut pthread_mutex_t) -> Option<c_int> {
    let real: OfMutex = next!(pthread_mutex_trylock);
    // SAFETY: the caller's promise.
    let attempt = || match unsafe { real(mutex) } {
        libc::EBUSY => None,
        other => Some(other),
    };
    // SAFETY: as above.
    if !unsafe { has_owner(mutex) } {
        return attempt();
    }
    let (address, me) = (mutex.addr(), overlapped::current().id());
    with_owners(|list| {
        let owner = list.iter_mut().find(|owner| owner.mutex == address);
        if owner.as_ref().is_some_and(|owner| owner.tasklet != me) {
            return None;
        }
        match (attempt(), owner) {
            (Some(0), Some(owner)) => owner.depth += 1,
            (Some(0), None) => list.push(Owner { mutex: address, tasklet: me, depth: 1 }),
            // It checks for errors, and the caller has it.
            (None, Some(_)) => return Some(libc::EDEADLK),
            (other, _) => return other,
        }
        Some(0)
    })
}

/// Unlocks, for tasklets and everybody else.
///
/// # Safety
/// It is a mutex.
pub(super) unsafe fn unlock(mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_unlock);
    let address = mutex.addr();
    // SAFETY: the caller's promise.
    if OWNED.load(Relaxed) > 0 && unsafe { has_owner(mutex) } && in_tasklet() {
        let me = overlapped::current().id();
        with_owners(|list| {
            let is_mine = |owner: &Owner| owner.mutex == address && owner.tasklet == me;
            if let Some(place) = list.iter().position(is_mine) {
                list[place].depth -= 1;
                if list[place].depth == 0 {
                    list.swap_remove(place);
                }
            }
        });
    }
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { real(mutex) };
    wake(address, 1, ALL);
    outcome
}

/// Locks for a tasklet.
///
/// # Safety
/// It is a mutex.
pub(super) unsafe fn lock(call: &Call, mutex: *mut pthread_mutex_t, limit: &Limit) -> c_int {
    // SAFETY: the caller's promise.
    let attempt = || unsafe { attempt(mutex) };
    attempt().unwrap_or_else(|| until_free(call, mutex.addr(), limit, Some(LOOK_AGAIN), attempt))
}

/// pthread_mutex_lock(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_mutex_lock(mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_lock);
    match Call::begin(Symbol::pthread_mutex_lock) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => unsafe { lock(&call, mutex, &Limit::new(None)) },
        // SAFETY: as above.
        None => unsafe { real(mutex) },
    }
}

/// pthread_mutex_trylock(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_mutex_trylock(mutex: *mut pthread_mutex_t) -> c_int {
    let real: OfMutex = next!(pthread_mutex_trylock);
    match Call::begin(Symbol::pthread_mutex_trylock) {
        // SAFETY: the caller's promise, handed on.
        Some(_call) => match unsafe { attempt(mutex) } {
            None | Some(libc::EDEADLK) => libc::EBUSY,
            Some(outcome) => outcome,
        },
        // SAFETY: as above.
        None => unsafe { real(mutex) },
    }
}

/// pthread_mutex_timedlock(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_mutex_timedlock(
    mutex: *mut pthread_mutex_t,
    moment: *const timespec,
) -> c_int {
    let real: Timed = next!(pthread_mutex_timedlock);
    let Some(call) = Call::begin(Symbol::pthread_mutex_timedlock) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(mutex, moment) };
    };
    // SAFETY: as above.
    match unsafe { limit_at(libc::CLOCK_REALTIME, moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { lock(&call, mutex, &limit) },
        None => libc::EINVAL,
    }
}

/// pthread_mutex_clocklock(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_mutex_clocklock(
    mutex: *mut pthread_mutex_t,
    clock: clockid_t,
    moment: *const timespec,
) -> c_int {
    let real: Clocked = next!(pthread_mutex_clocklock);
    let Some(call) = Call::begin(Symbol::pthread_mutex_clocklock) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(mutex, clock, moment) };
    };
    // SAFETY: as above.
    match unsafe { limit_at(clock, moment) } {
        // SAFETY: as above.
        Some(limit) => unsafe { lock(&call, mutex, &limit) },
        None => libc::EINVAL,
    }
}

/// pthread_mutex_unlock(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_mutex_unlock(mutex: *mut pthread_mutex_t) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { unlock(mutex) }
}
