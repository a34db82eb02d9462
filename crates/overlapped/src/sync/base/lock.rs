//! A lock without its value: permits, their holder, and poison.
//!
//! **Unwinding tasklets do not wait.** If one switched, another tasklet would see its panic count.
//! So a lock that a neighbour on the same thread holds could never be released while a destructor
//! waits for it, and the process is aborted with a message that names both tasklets. Before that,
//! the call tries everything else. If the lock was handed over to a waiter that has not run since,
//! it takes the lock back. If the holder is in another thread, it blocks this thread for up to
//! [`UNWINDING_WAIT_MAX`]. Inside `no_switch` it is a panic, as for every call that has no error to
//! return.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{PoisonError, TryLockError, TryLockResult};
use std::thread;
use std::time::Duration;

use super::permits::{NotAcquired, Permits, Request};
use super::rt::Mutex;
use crate::sched::{Holder, LockKind, LockWait, NEVER, here};
use crate::sys::clock;
use crate::task::suspension::checkpoint_without_error;
use crate::task::{CannotWait, count_busy_call, would_wait_while_unwinding};

/// The time that a holder in another thread has, while a tasklet unwinds.
const UNWINDING_WAIT_MAX: Duration = Duration::from_millis(20);
/// The time between two tries meanwhile.
const UNWINDING_TRY_EVERY: Duration = Duration::from_micros(20);

/// The number of tries before the caller waits for a holder in another thread. About a microsecond.
const SPINS: u32 = 32;

/// A lock that fewer than `ALL` readers, or one owner, hold.
pub(in crate::sync) struct Lock<const ALL: usize> {
    permits: Permits,
    holder: Holder,
    poisoned: AtomicBool,
}

/// The state of the thread when a guard was made: panicking or not. A panic that began since
/// poisons the lock when the guard is dropped.
#[derive(Debug, Clone, Copy)]
pub(in crate::sync) struct Panicking(bool);

impl Panicking {
    /// Returns the state for a new guard.
    #[inline]
    pub(in crate::sync) fn now() -> Panicking {
        Panicking(thread::panicking())
    }
}

impl<const ALL: usize> Lock<ALL> {
    pub(in crate::sync) const fn new() -> Lock<ALL> {
        let state = const { Permits::initial_state(ALL) };
        Lock {
            permits: Permits::from_parts(AtomicUsize::new(state), Mutex::new(None)),
            holder: Holder::none(),
            poisoned: AtomicBool::new(false),
        }
    }

    #[track_caller]
    #[inline]
    pub(in crate::sync) fn lock(&self, kind: LockKind) {
        if !self.permits.take_all(ALL) {
            self.contend(ALL, kind);
        }
        self.holder.set();
    }

    #[inline]
    pub(in crate::sync) fn try_lock(&self) -> bool {
        let locked = self.permits.try_acquire(ALL);
        if locked {
            self.holder.set();
        }
        locked
    }

    #[inline]
    pub(in crate::sync) fn unlock(&self) {
        self.holder.clear();
        self.permits.release(ALL);
    }

    #[track_caller]
    #[inline]
    pub(in crate::sync) fn lock_shared(&self, kind: LockKind) {
        if !self.permits.try_share() {
            self.contend(1, kind);
        }
    }

    #[inline]
    pub(in crate::sync) fn try_lock_shared(&self) -> bool {
        self.permits.try_share()
    }

    #[inline]
    pub(in crate::sync) fn unlock_shared(&self) {
        self.permits.release(1);
    }

    /// Turns the owner into a reader.
    pub(in crate::sync) fn downgrade(&self) {
        self.holder.clear();
        self.permits.release(ALL - 1);
    }

    #[inline]
    pub(in crate::sync) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Relaxed)
    }

    pub(in crate::sync) fn clear_poison(&self) {
        self.poisoned.store(false, Ordering::Relaxed);
    }

    /// Poisons the lock if a panic began since `before`; called when a guard is dropped.
    #[inline]
    pub(in crate::sync) fn poison_since(&self, before: Panicking) {
        if !before.0 && thread::panicking() {
            self.poisoned.store(true, Ordering::Relaxed);
        }
    }

    /// Returns `value`, or an error with it if the lock is poisoned.
    #[inline]
    pub(in crate::sync) fn guarded<T>(&self, value: T) -> Result<T, PoisonError<T>> {
        if self.is_poisoned() { Err(PoisonError::new(value)) } else { Ok(value) }
    }

    /// Waits for a lock that others hold, or have waited for longer.
    #[track_caller]
    #[cold]
    fn contend(&self, permits: usize, kind: LockKind) {
        // A writer takes all permits or none, so if one is left over, readers have the others.
        let is_full = permits < ALL && self.permits.free() == 1;
        assert!(!is_full, "too many active read locks on RwLock");
        // A caller that may not wait gets an error, as in any other case; one that is killed ends.
        let may_wait = || here().is_none_or(|here| checkpoint_without_error(here).is_ok());
        if self.holder.is_caller() && may_wait() {
            panic!("{kind} that the caller has locked already: it would wait for itself for ever");
        }
        // While we spin, a neighbour on this thread cannot release the lock, and a waiter on it
        // that was handed the lock cannot take it.
        if self.holder.is_elsewhere() {
            for _ in 0..SPINS {
                if self.permits.is_closed() {
                    break;
                }
                std::hint::spin_loop();
                let taken = if permits == ALL {
                    self.permits.try_acquire(ALL)
                } else {
                    self.permits.try_share()
                };
                if taken {
                    return;
                }
            }
        }
        let lock = LockWait { kind, holder: &self.holder };
        let what = kind.name();
        let request =
            Request { permits, exclusive: permits == ALL, what, lock: Some(lock), until: NEVER };
        match self.permits.acquire(&request) {
            Ok(()) => {}
            Err(NotAcquired::Refused(CannotWait::Unwinding)) => {
                self.take_past_waiters(permits, what)
            }
            Err(NotAcquired::Refused(reason)) => {
                panic!("{what} {}", reason.message());
            }
            Err(NotAcquired::TimedOut) => unreachable!("locks have no time limit"),
        }
    }

    /// Takes the lock for a tasklet that unwinds, or aborts.
    #[cold]
    fn take_past_waiters(&self, permits: usize, what: &'static str) {
        let until = clock::nanos() + UNWINDING_WAIT_MAX.as_nanos() as u64;
        while !self.permits.take_past_waiters(permits) {
            if self.holder.is_here() || clock::nanos() >= until {
                let lock = format!("{what} at {:p}, {}", &raw const *self, self.holder.describe());
                would_wait_while_unwinding(&lock, INSTEAD);
            }
            crate::sys::thread::sleep(UNWINDING_TRY_EVERY);
        }
    }
}

/// Counts a failed public `try_…`, so that a caller that tries again and again lets the holder run.
#[inline]
pub(in crate::sync) fn tried<T>(result: TryLockResult<T>) -> TryLockResult<T> {
    if matches!(result, Err(TryLockError::WouldBlock)) {
        count_busy_call();
    }
    result
}

/// The remedy if a destructor would have to wait for a lock.
const INSTEAD: &str = "Drop guards before what may be killed or panic, or use try_lock in \
                       destructors";

/// Ends a call that would have to wait and may not, and that has no error to return.
#[cold]
pub(in crate::sync) fn refuse(reason: CannotWait, what: &'static str, at: *const ()) -> ! {
    match reason {
        CannotWait::Unwinding => would_wait_while_unwinding(&format!("{what} at {at:p}"), INSTEAD),
        CannotWait::NoSwitch | CannotWait::Killed => panic!("{what} {}", reason.message()),
    }
}

#[cfg(all(test, not(overlapped_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn one_reader_too_many_panics_and_changes_nothing() {
        let lock = Lock::<4>::new();
        (0..3).for_each(|_| lock.lock_shared(LockKind::Read));
        assert!(!lock.try_lock_shared());
        let refused = catch_unwind(AssertUnwindSafe(|| lock.lock_shared(LockKind::Read)));
        let text = *refused.unwrap_err().downcast::<&str>().unwrap();
        assert_eq!(text, "too many active read locks on RwLock");
        assert!(!lock.try_lock());
        (0..3).for_each(|_| lock.unlock_shared());
        assert!(lock.try_lock());
        lock.unlock();
        lock.lock_shared(LockKind::Read);
    }
}
