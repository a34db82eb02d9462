//! Speculative receives: whether a receive is worth a try when it is submitted.
//!
//! A client that waits for an answer has not sent its next question when the server submits the
//! next receive. A try at that moment is a call in vain, and the wait for readiness costs two more.
//! By the time the port is waited on, many other tasklets have run, and most of the questions have
//! come. A reader whose peer is ahead of it finds something at once, and goes on without a switch.
//! So the tries stop for a while when they find nothing, and begin again after a pause.
//!
//! ```text
//!              MISSES_MAX tries in a row found nothing
//!   at once ──────────────────────────────────────────▶ later
//!      ▲  the first one after it finds nothing: again      │
//!      └───────────────── PAUSE receives later ────────────┘
//! ```

/// The number of tries in a row that find nothing, after which receives wait for the port.
const MISSES_MAX: u32 = 8;

/// The receives that are then submitted without a try.
const PAUSE: u32 = 64;

/// The recent success of speculative receives.
#[derive(Debug, Default)]
pub(super) struct Speculation {
    misses: u32,
    pause: u32,
}

impl Speculation {
    /// Tells whether the receive that is submitted now should be tried at once.
    pub(super) fn is_worthwhile(&mut self) -> bool {
        if self.pause == 0 {
            return true;
        }
        self.pause -= 1;
        false
    }

    /// Records whether a receive that was tried at once found something.
    pub(super) fn record(&mut self, found: bool) {
        self.misses = if found { 0 } else { (self.misses + 1).min(MISSES_MAX) };
        if self.misses == MISSES_MAX {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts the tries of 10,000 receives of which `finding` in ten would find something.
    fn tries(finding: usize) -> usize {
        let mut speculation = Speculation::default();
        let mut tries = 0;
        for receive in 0..10_000 {
            if speculation.is_worthwhile() {
                tries += 1;
                speculation.record(receive % 10 < finding);
            }
        }
        tries
    }

    #[test]
    fn speculative_receives_that_find_nothing_become_rare() {
        assert!((100..200).contains(&tries(0)), "{}", tries(0));
    }

    #[test]
    fn receives_stay_speculative_while_they_find_something() {
        assert_eq!(tries(10), 10_000);
        assert_eq!(tries(5), 10_000, "half of them is worth it");
    }
}
