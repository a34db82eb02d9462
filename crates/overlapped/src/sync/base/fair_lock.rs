//! Locks without a value for other rooms of the library: a file's cursor, the standard streams.
//!
//! Such a lock is one permit. It is handed over to the first waiter as soon as it is returned, so
//! nothing overtakes a waiter, and the callers go on in the order in which they came: that order
//! decides where bytes go. ([`Lock`](super::lock::Lock) lets others overtake a waiter once, which
//! is quicker.) A waiter that is killed, too late or parked for good passes the permit on.
//!
//! While a tasklet waits for one, there is no deadlock report: the holder may be on any thread.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::permits::{NotAcquired, Permits, Request};
use super::rt::{CannotWait, Mutex};
use crate::sched::{Holder, NEVER};

/// A lock that its callers get in the order in which they came.
pub(crate) struct FairLock {
    permit: Permits,
}

impl FairLock {
    pub(crate) const fn new() -> FairLock {
        let state = AtomicUsize::new(Permits::initial_state(1));
        FairLock { permit: Permits::from_parts(state, Mutex::new(None)) }
    }

    /// Takes the lock if it is free and nothing waits for it.
    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        self.permit.take_all(1)
    }

    /// Waits for the lock until the port's clock shows `until`, and takes it. A suspension point: a
    /// kill unwinds out of it. `what` is for dumps.
    #[cold]
    pub(crate) fn lock(&self, what: &'static str, until: u64) -> Result<(), NotAcquired> {
        self.permit.acquire(&Request { permits: 1, exclusive: false, what, lock: None, until })
    }

    /// Releases the lock, which the caller has taken.
    #[inline]
    pub(crate) fn unlock(&self) {
        debug_assert_eq!(self.permit.free(), 0, "a lock that is released has been taken");
        self.permit.release(1);
    }
}

impl Default for FairLock {
    fn default() -> FairLock {
        FairLock::new()
    }
}

impl fmt::Debug for FairLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FairLock").field("free", &self.permit.free()).finish_non_exhaustive()
    }
}

/// A fair lock whose holder may take it again: it is free when the holder has released it as often.
///
/// The holder is the tasklet or plain thread that took it. It may be released after the holder's
/// end, on the same thread: until then it belongs to no other caller.
pub(crate) struct ReentrantLock {
    lock: FairLock,
    holder: Holder,
    /// The number of times that the holder has taken it. Changed on the holder's thread only.
    depth: AtomicUsize,
}

impl ReentrantLock {
    pub(crate) const fn new() -> ReentrantLock {
        ReentrantLock { lock: FairLock::new(), holder: Holder::none(), depth: AtomicUsize::new(0) }
    }

    /// Waits for the lock, and takes it. A suspension point if it would wait. `what` is for dumps.
    ///
    /// # Errors
    /// The caller would have to wait and may not.
    pub(crate) fn lock(&self, what: &'static str) -> Result<(), CannotWait> {
        if self.try_lock() {
            return Ok(());
        }
        match self.lock.lock(what, NEVER) {
            Ok(()) => {
                self.begin();
                Ok(())
            }
            Err(NotAcquired::Refused(reason)) => Err(reason),
            Err(NotAcquired::TimedOut) => unreachable!("it waits without a limit"),
        }
    }

    /// Takes the lock if it is free or the caller's own. Never waits, not for the queue of waiters
    /// either.
    pub(crate) fn try_lock(&self) -> bool {
        if self.holder.is_caller() {
            let depth = self.depth.load(Relaxed);
            // A guard that is forgotten stays counted.
            let deeper = depth.checked_add(1).expect("a lock is taken too often by its holder");
            self.depth.store(deeper, Relaxed);
            return true;
        }
        let taken = self.lock.try_lock();
        if taken {
            self.begin();
        }
        taken
    }

    /// Records the caller as the holder, which has just taken the lock.
    fn begin(&self) {
        self.depth.store(1, Relaxed);
        self.holder.set();
    }

    /// Releases the lock once. Called on the holder's thread.
    pub(crate) fn unlock(&self) {
        let depth = self.depth.load(Relaxed) - 1;
        self.depth.store(depth, Relaxed);
        if depth == 0 {
            self.holder.clear();
            self.lock.unlock();
        }
    }
}

#[cfg(all(test, not(overlapped_loom)))]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn s16_a_lock_that_is_taken_too_often_panics_and_stays_as_it_was() {
        let lock = ReentrantLock::new();
        assert!(lock.try_lock());
        lock.depth.store(usize::MAX, Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| lock.try_lock())).is_err());
        assert_eq!(lock.depth.load(Relaxed), usize::MAX);
        lock.depth.store(1, Relaxed);
        lock.unlock();
        assert!(lock.lock.try_lock(), "it is free");
        println!("RELIABILITY S16 1 depth of a standard stream's lock at its end");
    }
}
