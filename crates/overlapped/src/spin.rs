//! The decision whether a wait spins on memory for a moment before it sleeps.
//!
//! An idle processor is slow to wake: tens of microseconds in a virtual machine, paid by the thread
//! that wakes it and by the one that waits. Two threads that answer each other pay it on every
//! message. So a wait that is likely to be short (for a ring, or of a pool's thread) spins first,
//! without system calls.
//!
//! ```text
//!            a sleep was short                     the spin found something
//!   asleep ────────────────────▶ spinning ◀──┐────────────────┘
//!     ▲                              │ it found nothing
//!     └──── the next 2ⁿ waits ───────┘ (n: such failures in a row)
//! ```
//!
//! If spinning does not help (the other thread may need this very processor), it costs one spin of
//! [`SPIN`] in 1 + 2ⁿ waits.

use std::time::Duration;

/// The longest spin. About the time that sleeping and waking cost.
pub(crate) const SPIN: Duration = Duration::from_micros(50);

/// A spin would have avoided a sleep of at most this long, which includes the time to wake up.
const SHORT: Duration = Duration::from_micros(100);

/// More failures in a row than this do not make the pause longer.
const FAILURES_MAX: u32 = 12;

/// The state of the decision, for one kind of wait.
#[derive(Debug, Default)]
pub(crate) struct Spin {
    is_wanted: bool,
    /// The number of waits that sleep at once before the next spin.
    pause: u32,
    failures: u32,
}

impl Spin {
    /// Tells whether the wait that begins now is to spin first.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// Records the end of a spin.
    pub(crate) fn spun(&mut self, found: bool) {
        if found {
            self.failures = 0;
            return;
        }
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        self.pause = 1 << self.failures;
        self.is_wanted = false;
    }

    /// Records the end of a sleep without a spin.
    pub(crate) fn slept(&mut self, time: Duration) {
        self.pause = self.pause.saturating_sub(1);
        self.is_wanted = self.pause == 0 && time <= SHORT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_sleep_makes_the_next_wait_spin() {
        let mut spin = Spin::default();
        assert!(!spin.is_wanted());
        spin.slept(SHORT * 2);
        assert!(!spin.is_wanted());
        spin.slept(SHORT);
        assert!(spin.is_wanted());
        spin.spun(true);
        assert!(spin.is_wanted(), "it goes on as long as it finds something");
    }

    #[test]
    fn spins_that_find_nothing_become_rare() {
        let mut spin = Spin::default();
        let mut spins = 0;
        for _ in 0..100_000 {
            if spin.is_wanted() {
                spins += 1;
                spin.spun(false);
            } else {
                spin.slept(SHORT);
            }
        }
        assert!((10..50).contains(&spins), "{spins} spins in 100,000 waits");
    }
}
