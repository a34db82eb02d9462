//! Wake coalescing: how long a sleeping scheduler waits to be woken for the results of jobs.
//!
//! Waking a scheduler costs more than many a job, and a scheduler that wakes on the worker's
//! processor displaces the worker. A scheduler sees the results that jobs leave for it before it
//! sleeps; only one that sleeps must be woken. As long as the queue has more jobs than have ended
//! since, the wake-up is held, for [`HOLD`] at most. So a scheduler is woken once for many jobs,
//! and queues new ones before a worker runs out of them. If jobs block (as the last sample of the
//! worker shows), schedulers are woken at once. If a job blocks unexpectedly while a wake-up is
//! held, the pool's ticker delivers it.

use std::sync::Arc;

use super::rt::nanos;

/// The longest time, in nanoseconds, that a wake-up is held while jobs end.
const HOLD: u64 = 500_000;

/// A scheduler that may sleep, and must be woken for the results that jobs have left for it.
pub(crate) trait Sleeper: Send + Sync {
    /// Wakes the scheduler. May be called from any thread.
    fn wake(&self);
}

/// Wake-ups that are held.
#[derive(Default)]
pub(super) struct HeldWakes {
    /// The schedulers to wake; no two are the same.
    schedulers: Vec<Arc<dyn Sleeper>>,
    /// The number of wake-ups that were requested.
    count: usize,
    /// The time of the first one.
    since: u64,
    /// A tick has passed since then.
    is_late: bool,
}

impl HeldWakes {
    pub(super) fn add(&mut self, scheduler: Option<Arc<dyn Sleeper>>) {
        let Some(scheduler) = scheduler else { return };
        if self.schedulers.is_empty() {
            (self.since, self.is_late) = (nanos(), false);
        }
        self.count += 1;
        if !self.schedulers.iter().any(|held| Arc::ptr_eq(held, &scheduler)) {
            self.schedulers.push(scheduler);
        }
    }

    /// Tells whether the wake-ups are due although `queued` jobs wait.
    pub(super) fn is_due(&self, queued: usize) -> bool {
        !self.schedulers.is_empty()
            && (self.count >= queued || nanos().saturating_sub(self.since) >= HOLD)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.schedulers.is_empty()
    }

    /// Takes the wake-ups that were held for a whole tick. Must be called at each tick.
    pub(super) fn tick(&mut self) -> Vec<Arc<dyn Sleeper>> {
        if std::mem::replace(&mut self.is_late, true) { self.take() } else { Vec::new() }
    }

    pub(super) fn take(&mut self) -> Vec<Arc<dyn Sleeper>> {
        self.count = 0;
        std::mem::take(&mut self.schedulers)
    }
}

pub(super) fn wake_all(schedulers: impl IntoIterator<Item = Arc<dyn Sleeper>>) {
    schedulers.into_iter().for_each(|scheduler| scheduler.wake());
}
