//! Holders of locks, and which waits for a lock are hopeless.
//!
//! A guard does not leave the thread that it was made on. So a lock that was taken on this thread
//! is released by a tasklet of this thread's scheduler, or never: a wait for it counts as one that
//! nobody outside can end. Of readers it is only known that there are some: they count as hope.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sched::enter::new_number;
use crate::sched::{Here, Sched, here};

/// The tasklet or plain thread that has locked something. Numbers that are never used again, since
/// a guard may outlive its tasklet and its scheduler.
///
/// Written by whoever has the lock, so what the scheduler of the lock's holder reads is true: what
/// another thread reads may be over.
pub(crate) struct Holder {
    /// The number of its scheduler, or of a plain thread; 0: nobody, readers, or one that has not
    /// run since the lock was handed over to it.
    number: AtomicU64,
    /// Its id there; 0 for a plain thread.
    tasklet: AtomicU64,
}

impl Holder {
    pub(crate) const fn nobody() -> Holder {
        Holder { number: AtomicU64::new(0), tasklet: AtomicU64::new(0) }
    }

    /// Notes the caller, which has just taken the lock.
    #[inline]
    pub(crate) fn set(&self) {
        let (number, tasklet) = caller();
        self.tasklet.store(tasklet, Ordering::Relaxed);
        self.number.store(number, Ordering::Relaxed);
    }

    /// The lock is about to be released.
    #[inline]
    pub(crate) fn clear(&self) {
        self.number.store(0, Ordering::Relaxed);
    }

    /// Tells whether the caller took the lock.
    pub(crate) fn is_caller(&self) -> bool {
        let (number, tasklet) = caller();
        self.number() == number && self.tasklet() == tasklet
    }

    /// Tells whether it was taken on the caller's own thread, by a tasklet or before the run.
    pub(crate) fn is_here(&self) -> bool {
        here().is_some_and(|here| self.is_on(&here))
    }

    /// Tells whether it is known to run on another thread.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.number() != 0 && !self.is_here()
    }

    /// Tells whether the lock was taken on this scheduler's thread. To be asked there.
    pub(in crate::sched) fn is_on(&self, sched: &Sched) -> bool {
        [sched.number, sched.thread].contains(&self.number())
    }

    /// The tasklet of this scheduler that took the lock; 0: the thread did, before the run.
    pub(in crate::sched) fn tasklet_on(&self, sched: &Sched) -> Option<u64> {
        self.is_on(sched).then(|| self.tasklet())
    }

    /// Who it is, for a message, as far as the caller can know.
    pub(crate) fn describe(&self) -> String {
        let found = here().and_then(|here| self.name(here));
        found.unwrap_or_else(|| "held by readers or by another thread".to_owned())
    }

    fn name(&self, here: Here) -> Option<String> {
        let (holder, mut found) = (self.tasklet_on(&here)?, None);
        here.each(|_, block| {
            if block.id == holder {
                found = Some(format!("locked by {}", block.who()));
            }
        });
        found
    }

    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    fn tasklet(&self) -> u64 {
        self.tasklet.load(Ordering::Relaxed)
    }
}

/// The numbers of the calling tasklet: its scheduler's and its own; outside a scheduler those of
/// the thread.
#[inline]
fn caller() -> (u64, u64) {
    match here() {
        Some(here) => (here.number, here.me().id),
        None => (thread_number(), 0),
    }
}

/// A number of the calling thread that is no scheduler's.
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

/// How a lock is waited for.
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

/// A lock that is waited for.
#[derive(Clone, Copy)]
pub(crate) struct LockWait<'a> {
    pub(crate) kind: LockKind,
    pub(crate) holder: &'a Holder,
}
