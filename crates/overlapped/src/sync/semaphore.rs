//! Permits to be taken and returned.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::base::lock::refuse;
use super::base::permits::{NotAcquired, PERMITS_MAX, Permits, Request};
use super::base::rt::Mutex;
use crate::sched::NEVER;
use crate::task::{count_busy_call, waiter};
use crate::time;

const WHAT: &str = "a Semaphore";

/// Lets a limited number of callers in at a time, while the others wait: a limit for connections,
/// jobs, memory.
///
/// It is strictly first come, first served, also for callers that ask for many permits at once:
/// permits are handed over to the first waiter as soon as there are enough for it, and it is never
/// overtaken.
///
/// A tasklet that is killed while it waits leaves the queue. Deadlines of
/// [`timeout`](crate::time::timeout) end [`acquire_timeout`](Semaphore::acquire_timeout) only: the
/// other calls have no error to return.
///
/// ```
/// use overlapped::{run, scope, sync::Semaphore, time::sleep};
///
/// run(|| {
///     let limit = Semaphore::new(2);
///     scope(|s| {
///         for _ in 0..10 {
///             s.spawn(|| {
///                 let _permit = limit.acquire();
///                 sleep(std::time::Duration::from_millis(1)); // At most two of them are here.
///             });
///         }
///     });
///     assert_eq!(limit.available_permits(), 2);
/// }).unwrap();
/// ```
pub struct Semaphore {
    permits: Permits,
    /// The number of permits, free and taken.
    all: AtomicUsize,
}

/// Permits of a [`Semaphore`], returned when dropped.
#[must_use = "if unused the permits are given back at once"]
#[derive(Debug)]
pub struct SemaphorePermit<'a> {
    semaphore: &'a Semaphore,
    permits: usize,
}

/// Permits with a share in their semaphore, which can be moved to other tasklets and threads.
#[must_use = "if unused the permits are given back at once"]
#[derive(Debug)]
pub struct OwnedSemaphorePermit {
    semaphore: Arc<Semaphore>,
    permits: usize,
}

impl Semaphore {
    /// The maximum number of permits of a semaphore, free and taken.
    pub const MAX_PERMITS: usize = PERMITS_MAX;

    /// Makes a semaphore with this number of permits.
    ///
    /// # Panics
    /// Beyond [`Semaphore::MAX_PERMITS`].
    pub const fn new(permits: usize) -> Semaphore {
        let state = AtomicUsize::new(Permits::initial_state(permits));
        Semaphore {
            permits: Permits::from_parts(state, Mutex::new(None)),
            all: AtomicUsize::new(permits),
        }
    }

    /// Returns the number of free permits.
    pub fn available_permits(&self) -> usize {
        self.permits.free()
    }

    /// Waits for one permit.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch).
    pub fn acquire(&self) -> SemaphorePermit<'_> {
        self.acquire_many(1)
    }

    /// Waits for this number of permits, and takes them together.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_many(&self, permits: usize) -> SemaphorePermit<'_> {
        self.wait_for(permits);
        SemaphorePermit { semaphore: self, permits }
    }

    /// Waits as [`Semaphore::acquire_many`] does, for permits that can be moved to other tasklets
    /// and threads.
    ///
    /// # Panics
    /// As [`Semaphore::acquire`].
    pub fn acquire_owned(self: Arc<Semaphore>, permits: usize) -> OwnedSemaphorePermit {
        self.wait_for(permits);
        OwnedSemaphorePermit { semaphore: self, permits }
    }

    /// Waits for this number of permits, for `timeout` at most. `None`: they did not become free in
    /// time. If it may not wait at all (unwinding, inside [`no_switch`](crate::task::no_switch)),
    /// it returns at once.
    pub fn acquire_timeout(
        &self,
        permits: usize,
        timeout: Duration,
    ) -> Option<SemaphorePermit<'_>> {
        let until = time::deadline_in(timeout).min(waiter::deadline());
        self.wait_until(permits, until).ok()?;
        Some(SemaphorePermit { semaphore: self, permits })
    }

    /// Takes this number of permits, if they are free and nothing waits.
    pub fn try_acquire(&self, permits: usize) -> Option<SemaphorePermit<'_>> {
        let taken = self.take_now(permits);
        taken.then(|| SemaphorePermit { semaphore: self, permits })
    }

    /// Takes permits as [`Semaphore::try_acquire`] does, which can be moved to other tasklets and
    /// threads.
    pub fn try_acquire_owned(self: Arc<Semaphore>, permits: usize) -> Option<OwnedSemaphorePermit> {
        let taken = self.take_now(permits);
        taken.then(|| OwnedSemaphorePermit { semaphore: self, permits })
    }

    /// Adds new permits.
    ///
    /// # Panics
    /// If that makes more than [`Semaphore::MAX_PERMITS`], free and taken.
    pub fn add_permits(&self, permits: usize) {
        let sum = |all: usize| all.checked_add(permits).filter(|&all| all <= PERMITS_MAX);
        let added = self.all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, sum);
        assert!(added.is_ok(), "too many permits");
        self.permits.release(permits);
    }

    fn take_now(&self, permits: usize) -> bool {
        let taken = self.permits.try_acquire(permits);
        if !taken {
            count_busy_call();
        }
        taken
    }

    /// Lowers the number of permits.
    fn forget(&self, permits: usize) {
        self.all.fetch_sub(permits, Ordering::Relaxed);
    }

    fn wait_for(&self, permits: usize) {
        match self.wait_until(permits, NEVER) {
            Ok(()) => {}
            Err(NotAcquired::Refused(reason)) => refuse(reason, WHAT, (&raw const *self).cast()),
            Err(NotAcquired::TimedOut) => unreachable!("it waits as long as it takes"),
        }
    }

    fn wait_until(&self, permits: usize, until: u64) -> Result<(), NotAcquired> {
        if self.permits.try_acquire(permits) {
            return Ok(());
        }
        self.permits.acquire(&Request { permits, exclusive: false, what: WHAT, lock: None, until })
    }
}

impl SemaphorePermit<'_> {
    /// Never returns the permits, so the semaphore has fewer from now on.
    pub fn forget(self) {
        self.semaphore.forget(self.permits);
        std::mem::forget(self);
    }
}

impl OwnedSemaphorePermit {
    /// Never returns the permits, so the semaphore has fewer from now on.
    pub fn forget(mut self) {
        self.semaphore.forget(std::mem::take(&mut self.permits));
    }
}

impl Drop for SemaphorePermit<'_> {
    fn drop(&mut self) {
        self.semaphore.permits.release(self.permits);
    }
}

impl Drop for OwnedSemaphorePermit {
    fn drop(&mut self) {
        self.semaphore.permits.release(self.permits);
    }
}

impl fmt::Debug for Semaphore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let permits = self.available_permits();
        f.debug_struct("Semaphore").field("permits", &permits).finish_non_exhaustive()
    }
}
