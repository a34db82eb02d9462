//! Bells, and how long they wait to be rung.
//!
//! Waking a scheduler costs more than many a job, and on its processor it takes the worker's place.
//! It sees what jobs leave for it before it sleeps; only one that sleeps must be woken. As long as
//! there are more jobs in the queue than have ended since, the bell waits, for [`HOLD`] at most: so
//! schedulers are woken once for many jobs, and have queued new ones before a worker runs out of
//! them. Where jobs wait (as the last ones of the worker have shown), bells are rung at once. If
//! one waits unexpectedly while a bell is held, the watch rings it.

use std::sync::Arc;

use super::rt::nanos;

/// The longest time, in nanoseconds, that a bell waits while jobs end.
const HOLD: u64 = 500_000;

/// Wakes whoever sleeps over what jobs have left.
pub(crate) trait Bell: Send + Sync {
    /// From any thread.
    fn ring(&self);
}

/// Bells that wait to be rung.
#[derive(Default)]
pub(super) struct Held {
    /// No two are the same.
    bells: Vec<Arc<dyn Bell>>,
    /// How often they were to be rung.
    count: usize,
    /// Since when there are any.
    since: u64,
    /// A tick has passed since.
    is_late: bool,
}

impl Held {
    pub(super) fn add(&mut self, bell: Option<Arc<dyn Bell>>) {
        let Some(bell) = bell else { return };
        if self.bells.is_empty() {
            (self.since, self.is_late) = (nanos(), false);
        }
        self.count += 1;
        if !self.bells.iter().any(|held| Arc::ptr_eq(held, &bell)) {
            self.bells.push(bell);
        }
    }

    /// Whether they are to be rung although there is more to do.
    pub(super) fn is_due(&self, queued: usize) -> bool {
        !self.bells.is_empty()
            && (self.count >= queued || nanos().saturating_sub(self.since) >= HOLD)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bells.is_empty()
    }

    /// Those that have waited for a whole tick; to be called at each.
    pub(super) fn tick(&mut self) -> Vec<Arc<dyn Bell>> {
        if std::mem::replace(&mut self.is_late, true) { self.take() } else { Vec::new() }
    }

    pub(super) fn take(&mut self) -> Vec<Arc<dyn Bell>> {
        self.count = 0;
        std::mem::take(&mut self.bells)
    }
}

pub(super) fn ring(bells: impl IntoIterator<Item = Arc<dyn Bell>>) {
    bells.into_iter().for_each(|bell| bell.ring());
}
