//! The time of the next poll: after 64 switches, or sooner if these take longer than 1 ms.

use std::cell::Cell;

use crate::sys::clock;

/// The maximum number of switches between two polls.
const SWITCHES_MAX: u32 = 64;
/// The maximum time between two polls, in nanoseconds, as long as tasklets yield.
const LOOK_EVERY_NS: u64 = 1_000_000;
/// The number of switches between two reads of the coarse clock.
const GLANCE_EVERY: u32 = 8;

/// The number of switches that are left before the next poll.
pub(in crate::sched) struct Budget {
    left: Cell<u32>,
    size: Cell<u32>,
    since: Cell<u64>,
}

impl Budget {
    pub(in crate::sched) fn new() -> Budget {
        Budget { left: Cell::new(0), size: Cell::new(SWITCHES_MAX), since: Cell::new(0) }
    }

    /// Starts the first round, at `now`.
    pub(in crate::sched) fn begin(&self, now: u64) {
        self.left.set(self.size.get());
        self.since.set(now);
    }

    /// Tells whether a poll is due.
    #[inline(always)]
    pub(in crate::sched) fn is_spent(&self) -> bool {
        self.left.get() == 0
    }

    /// Counts a switch that is about to be made.
    #[inline(always)]
    pub(in crate::sched) fn spend(&self) {
        let left = self.left.get() - 1;
        self.left.set(left);
        if left.is_multiple_of(GLANCE_EVERY) {
            self.glance();
        }
    }

    /// Reads the coarse clock: quick switches may be followed by slow ones.
    #[inline(never)]
    fn glance(&self) {
        if clock::coarse_nanos() > self.since.get() + LOOK_EVERY_NS {
            self.left.set(0);
        }
    }

    /// Starts the next round, with as many switches as fit the time by the pace of the last round.
    pub(in crate::sched) fn renew(&self, now: u64) {
        let took = now.saturating_sub(self.since.get()).max(1);
        let fitting = u64::from(self.size.get()).saturating_mul(LOOK_EVERY_NS) / took;
        self.size.set(fitting.clamp(1, u64::from(SWITCHES_MAX)) as u32);
        self.begin(now);
    }
}
