//! Locks of POSIX threads, and waits for threads.
//!
//! libc keeps the state. A tasklet tries, enters the [table](crate::table) under the lock's
//! address, tries again, and is blocked. An unlock wakes waiters in the table, and threads in libc.
//! An unlock that this crate cannot see (inside libc, by pthread_cond_wait of a thread; in another
//! process) is found by checking again at intervals.
//!
//! Kills are not reported: these calls have no error for that.

mod c11;
mod condvar;
mod mutex;
mod once;
mod owner;
mod rwlock;
mod semaphore;
mod threads;

use std::ffi::c_int;
use std::time::Duration;

use libc::timespec;

pub(crate) use c11::*;
pub(crate) use condvar::*;
pub(crate) use mutex::*;
pub(crate) use once::*;
pub(crate) use rwlock::*;
pub(crate) use semaphore::*;
pub(crate) use threads::*;

use crate::caller::Call;
use crate::table::{Waiter, wake};
use crate::timespec::{duration, until};
use crate::wait::Limit;

/// The bits that match every waiter for an address.
pub(super) const ALL: u32 = u32::MAX;

/// The interval between two checks for an unlock that this crate cannot see.
pub(super) const RECHECK_INTERVAL: Duration = Duration::from_millis(20);

/// A wait for a lock or a similar object.
pub(super) struct LockWait<F> {
    pub(super) address: usize,
    /// The function that enters the table.
    pub(super) enter: fn(usize) -> Waiter,
    /// The interval of checks, for unlocks that this crate cannot see.
    pub(super) recheck: Option<Duration>,
    /// The attempt; `None` if the object is not available yet.
    pub(super) attempt: F,
}

impl<F: Fn() -> Option<c_int>> LockWait<F> {
    /// Tries until the attempt succeeds or fails; returns ETIMEDOUT at the limit, and EINTR after a
    /// signal handler, inside `interruptible`.
    pub(super) fn wait(&self, call: &Call, limit: &Limit) -> c_int {
        loop {
            let waiter = (self.enter)(self.address);
            let outcome = (self.attempt)().or(limit.is_over().then_some(libc::ETIMEDOUT));
            let outcome = outcome.or_else(|| {
                let recheck = self.recheck.or((!waiter.is_notified).then_some(RECHECK_INTERVAL));
                let waited = waiter.wait_or_interrupted(call, recheck, limit.left());
                waited.is_err().then_some(libc::EINTR)
            });
            if let Some(outcome) = outcome {
                // A wake that came meanwhile belongs to another waiter.
                if !waiter.leave() {
                    wake(self.address, 1, ALL);
                }
                return outcome;
            }
        }
    }
}

/// Returns the limit for a moment of a clock; `None` if it is malformed.
unsafe fn limit_at(clock: libc::clockid_t, moment: *const timespec) -> Option<Limit> {
    // SAFETY: the caller's promise.
    let moment = duration(unsafe { moment.as_ref() }?)?;
    Some(Limit::new(Some(until(clock, moment))))
}
