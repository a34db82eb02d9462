//! Waits until a value has changed, by notifications.

use std::fmt;
use std::sync::{LockResult, PoisonError};
use std::time::Duration;

use super::base::gathering::{Entry, Gathering};
use super::base::lock::refuse;
use super::mutex::{MutexGuard, Suspended};
use crate::sched::NEVER;
use crate::task::{CannotWait, waiter};
use crate::time;

const WHAT: &str = "a Condvar";

/// `std::sync::Condvar` for a [`Mutex`](super::Mutex) of this module.
///
/// Waiters are woken in order. A notification for a tasklet that is killed before it has the mutex
/// again goes to the next waiter. A deadline of [`timeout`](crate::time::timeout) ends
/// [`wait_timeout`](Condvar::wait_timeout) and [`wait_timeout_while`](Condvar::wait_timeout_while),
/// which then return that they timed out; the other calls cannot return that, so a deadline does
/// not end them.
///
/// Unlike std's, it may be used with several mutexes.
///
/// ```
/// use std::collections::VecDeque;
/// use overlapped::sync::{Condvar, Mutex};
///
/// overlapped::run(|| {
///     let (jobs, more) = (Mutex::new(VecDeque::new()), Condvar::new());
///     overlapped::scope(|s| {
///         s.spawn(|| {
///             let jobs = jobs.lock().unwrap();
///             let mut jobs = more.wait_while(jobs, |jobs| jobs.is_empty()).unwrap();
///             assert_eq!(jobs.pop_front(), Some("a job"));
///         });
///         s.spawn(|| {
///             jobs.lock().unwrap().push_back("a job");
///             more.notify_one();
///         });
///     });
/// }).unwrap();
/// ```
pub struct Condvar {
    gathering: Gathering,
}

/// Tells whether a timed wait ended because of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitTimeoutResult(bool);

impl WaitTimeoutResult {
    /// Returns whether the time ended the wait.
    pub fn timed_out(&self) -> bool {
        self.0
    }
}

impl Condvar {
    /// Makes a condition variable without waiters.
    pub const fn new() -> Condvar {
        Condvar { gathering: Gathering::new() }
    }

    /// Releases the lock, waits for a notification, and takes the lock again. No notification is
    /// lost between the release and the wait. It may return without a notification.
    ///
    /// # Errors
    /// The guard in an error, if the mutex is poisoned.
    ///
    /// # Panics
    /// Inside [`no_switch`](crate::task::no_switch).
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> LockResult<MutexGuard<'a, T>> {
        match self.wait_until(guard.suspend(), NEVER) {
            Ok((locked, _)) => locked,
            // A panic releases the lock; if this aborts, that makes no difference.
            Err((_suspended, reason)) => refuse(reason, WHAT, (&raw const *self).cast()),
        }
    }

    /// Waits as long as `condition` holds.
    ///
    /// # Errors
    /// The guard in an error, if the mutex is poisoned.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch).
    pub fn wait_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        mut condition: F,
    ) -> LockResult<MutexGuard<'a, T>>
    where
        F: FnMut(&mut T) -> bool,
    {
        while condition(&mut *guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    /// Waits as [`Condvar::wait`] does, for `dur` at most. If it may not wait at all (unwinding,
    /// inside [`no_switch`](crate::task::no_switch)), it returns at once that it timed out.
    ///
    /// # Errors
    /// The guard in an error, if the mutex is poisoned.
    pub fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        dur: Duration,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)> {
        let until = time::deadline_in(dur).min(waiter::deadline());
        let (locked, notified) = match self.wait_until(guard.suspend(), until) {
            Ok(ended) => ended,
            Err((suspended, _)) => (suspended.resume(), false),
        };
        let result = WaitTimeoutResult(!notified);
        match locked {
            Ok(guard) => Ok((guard, result)),
            Err(error) => Err(PoisonError::new((error.into_inner(), result))),
        }
    }

    /// Waits as long as `condition` holds, for `dur` at most.
    ///
    /// # Errors
    /// The guard in an error, if the mutex is poisoned.
    pub fn wait_timeout_while<'a, T, F>(
        &self,
        mut guard: MutexGuard<'a, T>,
        dur: Duration,
        mut condition: F,
    ) -> LockResult<(MutexGuard<'a, T>, WaitTimeoutResult)>
    where
        F: FnMut(&mut T) -> bool,
    {
        let end = time::Instant::now().checked_add(dur);
        loop {
            if !condition(&mut *guard) {
                return Ok((guard, WaitTimeoutResult(false)));
            }
            let left = end.map_or(Duration::MAX, |end| end.duration_since(time::Instant::now()));
            if left == Duration::ZERO {
                return Ok((guard, WaitTimeoutResult(true)));
            }
            let (again, result) = self.wait_timeout(guard, left)?;
            guard = again;
            if result.timed_out() {
                let holds = condition(&mut *guard);
                return Ok((guard, WaitTimeoutResult(holds)));
            }
        }
    }

    /// Wakes the tasklet or thread that has waited longest, if there is one.
    pub fn notify_one(&self) {
        self.gathering.release_one();
    }

    /// Wakes all that wait.
    pub fn notify_all(&self) {
        self.gathering.lock().release_all();
    }

    /// Waits without the lock, takes it again, and returns whether there was a notification.
    /// Returns the suspended lock if the caller may not wait.
    fn wait_until<'a, T>(
        &self,
        suspended: Suspended<'a, T>,
        until: u64,
    ) -> Result<WaitEnd<'a, T>, (Suspended<'a, T>, CannotWait)> {
        let entry = match self.gathering.join(|_| true) {
            Ok(entry) => entry.expect("it always joins"),
            Err(reason) => return Err((suspended, reason)),
        };
        let mut waiter = Waiter { condvar: self, entry, passes_on: true };
        let mutex = suspended.unlock();
        let (notified, locked) = waiter::with_cleanup(&|| waiter.abandon(), || {
            let notified = waiter.entry.wait_within(WHAT, until);
            (notified, mutex.lock())
        });
        waiter.passes_on = false;
        Ok((locked, notified))
    }
}

/// The end of a wait: the lock again, and whether there was a notification.
type WaitEnd<'a, T> = (LockResult<MutexGuard<'a, T>>, bool);

/// A waiter, which passes its notification on if it is unwound.
struct Waiter<'a> {
    condvar: &'a Condvar,
    entry: Entry<'a>,
    passes_on: bool,
}

impl Waiter<'_> {
    /// Passes the notification on if the waiter is parked for good.
    fn abandon(&self) {
        if self.entry.leave() {
            self.condvar.notify_one();
        }
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        if self.passes_on && self.entry.is_released() {
            self.condvar.notify_one();
        }
    }
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl fmt::Debug for Condvar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
