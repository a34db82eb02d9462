//! The holders of locks.
//!
//! A guard stays on the thread on which it was made. So a lock that was taken on this thread is
//! released by a tasklet of this thread's scheduler, or never: a wait for it counts as one that
//! nothing outside can end. Readers are only counted, not known, so a wait for them counts as one
//! that may end.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use super::counts::new_number;

/// The tasklet or plain thread that holds a lock, by numbers that are never used again, since a
/// guard may outlive its tasklet and its scheduler.
///
/// The holder writes it. So what the scheduler of the holder's thread reads is true; what another
/// thread reads may be out of date.
pub(crate) struct Holder {
    /// The number of the holder's scheduler, or of a plain thread. 0: no holder, readers, or a
    /// tasklet that has not run since the lock was handed over to it.
    number: AtomicU64,
    /// The holder's id there; 0 for a plain thread.
    tasklet: AtomicU64,
}

impl Holder {
    pub(crate) const fn none() -> Holder {
        Holder { number: AtomicU64::new(0), tasklet: AtomicU64::new(0) }
    }

    /// Records the holder, which has just taken the lock: by the number of its scheduler and its
    /// id, or by the number of its thread and 0.
    #[inline]
    pub(in crate::sched) fn record(&self, (number, tasklet): (u64, u64)) {
        self.tasklet.store(tasklet, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
    }

    /// Forgets the holder, which is about to release the lock.
    #[inline]
    pub(crate) fn clear(&self) {
        self.number.store(0, Ordering::Relaxed);
    }

    pub(in crate::sched) fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub(in crate::sched) fn tasklet(&self) -> u64 {
        self.tasklet.load(Ordering::Relaxed)
    }
}

/// Returns a number for the calling thread that no scheduler has.
pub(crate) fn thread_number() -> u64 {
    thread_local! {
        static NUMBER: Cell<u64> = const { Cell::new(0) };
    }
    NUMBER.with(|number| {
        if number.get() == 0 {
            number.set(new_number());
        }
        number.get()
    })
}

/// The kind of a lock, and of the wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LockKind {
    Mutex,
    Read,
    Write,
}

impl LockKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            LockKind::Mutex => "a Mutex",
            LockKind::Read => "an RwLock to read",
            LockKind::Write => "an RwLock to write",
        }
    }
}

impl fmt::Display for LockKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A lock that a caller waits for.
#[derive(Clone, Copy)]
pub(crate) struct LockWait<'a> {
    pub(crate) kind: LockKind,
    pub(crate) holder: &'a Holder,
}
