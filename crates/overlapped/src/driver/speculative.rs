//! Whether a receive is worth a try when it is submitted.
//!
//! Whoever has just answered waits for the next question, which is not there yet: a try at once is
//! a call in vain, and the wait for readiness two more. By the time the port is waited on, many
//! other tasklets have run, and most of the questions have come. Whoever reads a stream that is
//! ahead of him finds something at once, and goes on without a switch. So tries are given up for a
//! while when they find nothing, and taken up again to see.
//!
//! ```text
//!              so many in a row found nothing
//!   at once ────────────────────────────────▶ later
//!      ▲  one of them: again                    │
//!      └──────────── after so many receives ────┘
//! ```

/// Tries in vain, in a row, that make receives wait for the port.
const IN_VAIN_MAX: u32 = 8;

/// Receives that are not tried at once then.
const PAUSE: u32 = 64;

#[derive(Debug, Default)]
pub(crate) struct Eager {
    in_vain: u32,
    pause: u32,
}

impl Eager {
    /// Whether the receive that is submitted now is to be tried at once.
    pub(crate) fn is_wanted(&mut self) -> bool {
        if self.pause == 0 {
            return true;
        }
        self.pause -= 1;
        false
    }

    /// A receive was tried at once.
    pub(crate) fn tried(&mut self, found: bool) {
        self.in_vain = if found { 0 } else { (self.in_vain + 1).min(IN_VAIN_MAX) };
        if self.in_vain == IN_VAIN_MAX {
            self.pause = PAUSE;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of 10,000 receives were tried at once, when so many of ten find something.
    fn tries(finding: usize) -> usize {
        let mut eager = Eager::default();
        let mut tries = 0;
        for receive in 0..10_000 {
            if eager.is_wanted() {
                tries += 1;
                eager.tried(receive % 10 < finding);
            }
        }
        tries
    }

    #[test]
    fn receives_that_find_nothing_are_hardly_tried_at_once() {
        assert!((100..200).contains(&tries(0)), "{}", tries(0));
    }

    #[test]
    fn receives_that_find_something_are_always_tried_at_once() {
        assert_eq!(tries(10), 10_000);
        assert_eq!(tries(5), 10_000, "half of them is worth it");
    }
}
