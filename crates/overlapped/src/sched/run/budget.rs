//! When to look outside: after 64 switches, or sooner where so many take longer than 1 ms.

use std::cell::Cell;

use crate::sys::clock;

/// The most switches between two looks outside.
const SWITCHES_MAX: u32 = 64;
/// The most time between two looks outside, as far as tasklets give way, in nanoseconds.
const LOOK_EVERY_NS: u64 = 1_000_000;
/// Switches between two glances at the coarse clock.
const GLANCE_EVERY: u32 = 8;

/// The switches that are left before the next look outside.
pub(in crate::sched) struct Budget {
    left: Cell<u32>,
    size: Cell<u32>,
    since: Cell<u64>,
}

impl Budget {
    pub(in crate::sched) fn new() -> Budget {
        Budget { left: Cell::new(0), size: Cell::new(SWITCHES_MAX), since: Cell::new(0) }
    }

    /// Begins, at `now`.
    pub(in crate::sched) fn begin(&self, now: u64) {
        self.left.set(self.size.get());
        self.since.set(now);
    }

    /// Whether it is time to look.
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

    /// Looks at the coarse clock: quick switches may be followed by slow ones.
    #[inline(never)]
    fn glance(&self) {
        if clock::coarse_nanos() > self.since.get() + LOOK_EVERY_NS {
            self.left.set(0);
        }
    }

    /// Begins anew, with as many switches as the last ones suggest for the time.
    pub(in crate::sched) fn renew(&self, now: u64) {
        let took = now.saturating_sub(self.since.get()).max(1);
        let fitting = u64::from(self.size.get()).saturating_mul(LOOK_EVERY_NS) / took;
        self.size.set(fitting.clamp(1, u64::from(SWITCHES_MAX)) as u32);
        self.begin(now);
    }
}
