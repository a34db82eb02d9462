//! The holders of locks, as the caller's scheduler sees them.

use crate::sched::{Here, Holder, Sched, here, thread_number};

impl Holder {
    /// Records the caller, which has just taken the lock.
    #[inline]
    pub(crate) fn set(&self) {
        self.record(caller());
    }

    /// Tells whether the caller took the lock.
    pub(crate) fn is_caller(&self) -> bool {
        let (number, tasklet) = caller();
        self.number() == number && self.tasklet() == tasklet
    }

    /// Tells whether the lock was taken on the caller's own thread, by a tasklet or before the run.
    pub(crate) fn is_here(&self) -> bool {
        here().is_some_and(|here| self.is_on(&here))
    }

    /// Tells whether the holder is known to run on another thread.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.number() != 0 && !self.is_here()
    }

    /// Tells whether the lock was taken on this scheduler's thread. Called on that thread.
    pub(in crate::sched) fn is_on(&self, sched: &Sched) -> bool {
        [sched.number, sched.thread].contains(&self.number())
    }

    /// Returns the tasklet of this scheduler that took the lock; 0 if the thread did, before the
    /// run.
    pub(in crate::sched) fn tasklet_on(&self, sched: &Sched) -> Option<u64> {
        self.is_on(sched).then(|| self.tasklet())
    }

    /// Describes the holder for a message, as far as the caller can know.
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
}

/// Returns the numbers of the calling tasklet: its scheduler's and its own. Outside a scheduler
/// they are the thread's number and 0.
#[inline]
fn caller() -> (u64, u64) {
    match here() {
        Some(here) => (here.number, here.me().id),
        None => (thread_number(), 0),
    }
}
