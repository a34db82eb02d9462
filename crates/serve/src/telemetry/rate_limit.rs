//! Rate limits for warnings that clients could cause thousands of times a second.

use std::fmt;

use overlapped::time::{Duration, Instant};

/// The rate limit of one kind of warning: one per second; the others are counted.
#[derive(Debug, Default)]
pub(crate) struct RateLimited {
    last: Option<Instant>,
    suppressed: u64,
}

impl RateLimited {
    const PERIOD: Duration = Duration::from_secs(1);

    /// Returns the number of warnings that were suppressed since the last one, if it is time for
    /// another.
    pub(crate) fn allow(&mut self) -> Option<Suppressed> {
        if self.last.is_some_and(|last| last.elapsed() < RateLimited::PERIOD) {
            self.suppressed += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(Suppressed(std::mem::take(&mut self.suppressed)))
    }
}

/// A number of suppressed warnings; displays the end of the next warning's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Suppressed(u64);

impl fmt::Display for Suppressed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more since the last such line)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_passes_and_the_others_are_counted() {
        let mut limit = RateLimited::default();
        assert_eq!(limit.allow(), Some(Suppressed(0)));
        for _ in 0..9 {
            assert_eq!(limit.allow(), None);
        }
        assert_eq!(limit.suppressed, 9);
        assert_eq!(Suppressed(0).to_string(), "");
        assert_eq!(Suppressed(9).to_string(), " (9 more since the last such line)");
    }
}
