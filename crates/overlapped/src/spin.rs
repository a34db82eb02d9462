//! Whether to look again for a moment before sleeping.
//!
//! An idle processor is slow to wake: tens of microseconds in a virtual machine, paid by whoever
//! wakes it and by whoever waits. Two that answer each other pay it on every message. So a wait
//! that is likely to be short, for a ring or of a pool's thread, watches memory first, without
//! system calls.
//!
//! ```text
//!            a sleep was short                     the watch found something
//!   asleep ────────────────────▶ watching ◀──┐────────────────┘
//!     ▲                              │ it found nothing
//!     └──── the next 2ⁿ waits ───────┘ (n: such failures in a row)
//! ```
//!
//! What it costs where it does not help (whoever we wait for may need this very processor): one
//! watch of [`WATCH`] in 1 + 2ⁿ waits.

use std::time::Duration;

/// The longest watch. About the time that sleeping and waking cost.
pub(crate) const WATCH: Duration = Duration::from_micros(50);

/// A sleep of at most this would have been found by a watch: it includes the waking.
const SHORT: Duration = Duration::from_micros(100);

/// Failures in a row beyond this make the pause no longer.
const FAILURES_MAX: u32 = 12;

#[derive(Debug, Default)]
pub(crate) struct Spin {
    is_wanted: bool,
    /// Waits that are to sleep at once.
    pause: u32,
    failures: u32,
}

impl Spin {
    /// Whether the wait that begins now is to watch first.
    pub(crate) fn is_wanted(&self) -> bool {
        self.is_wanted
    }

    /// A watch has ended.
    pub(crate) fn watched(&mut self, found: bool) {
        if found {
            self.failures = 0;
            return;
        }
        self.failures = (self.failures + 1).min(FAILURES_MAX);
        self.pause = 1 << self.failures;
        self.is_wanted = false;
    }

    /// A sleep without a watch has ended.
    pub(crate) fn slept(&mut self, time: Duration) {
        self.pause = self.pause.saturating_sub(1);
        self.is_wanted = self.pause == 0 && time <= SHORT;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_short_sleep_makes_the_next_wait_watch() {
        let mut spin = Spin::default();
        assert!(!spin.is_wanted());
        spin.slept(SHORT * 2);
        assert!(!spin.is_wanted());
        spin.slept(SHORT);
        assert!(spin.is_wanted());
        spin.watched(true);
        assert!(spin.is_wanted(), "it goes on as long as it finds something");
    }

    #[test]
    fn watches_that_find_nothing_become_rare() {
        let mut spin = Spin::default();
        let mut watches = 0;
        for _ in 0..100_000 {
            if spin.is_wanted() {
                watches += 1;
                spin.watched(false);
            } else {
                spin.slept(SHORT);
            }
        }
        assert!((10..50).contains(&watches), "{watches} watches in 100,000 waits");
    }
}
