//! The base of the types in `sync`.
//!
//! | | |
//! |---|---|
//! | [`queue`] | waiters, in order |
//! | [`permits`] | permits that are waited for and handed over |
//! | [`lock`] | permits as a lock: its holder, poison, calls that may not wait |
//! | [`fair_lock`] | permits as locks of other rooms, in strict order |
//! | [`gathering`] | waiters that are released together or one by one |
//! | [`monitor`] | a state, and waits until it has changed |
//!
//! ```text
//! Mutex::lock ─▶ Lock::lock ─▶ contend ─▶ Permits::acquire ─▶ QueuedWaiter::wait
//!                  free: taken               ┌────────────────────────┘
//!                                 Wait::park_for_lock (task/waiter) ─▶ park
//! woken:  QueuedWaiter::arrive     takes the lock, or waits again
//! killed: waiter::leave unwinds    the drop of QueuedWaiter leaves the queue, and passes on
//!                                  what it was handed
//! ```
//!
//! An [inner lock](crate::sys::lock) guards each queue. It is held for a few steps and never across
//! a wait, a wake, or the drop of a user's value.

pub(super) mod fair_lock;
pub(super) mod gathering;
pub(super) mod lock;
pub(super) mod monitor;
pub(super) mod permits;
pub(super) mod queue;

#[cfg(all(test, overlapped_loom))]
mod loom_tests;

/// The types under the core; loom has its own.
pub(super) mod rt {
    pub(super) use std::sync::atomic::{AtomicUsize, Ordering};

    pub(super) use crate::sched::LockWait;
    pub(in crate::sync) use crate::sys::lock::Mutex;
    use crate::sys::lock::MutexGuard;
    pub(in crate::sync) use crate::task::CannotWait;
    pub(super) use crate::task::waiter::Wait;
    pub(in crate::sync) use crate::task::waiter::{
        Waker, Woken, deadline, leave, prepare, with_cleanup,
    };

    /// Locks `mutex`; loom's lock may be poisoned.
    pub(in crate::sync) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }
}
