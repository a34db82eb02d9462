//! Complaints that could come thousands of times a second.

use std::fmt;

use overlapped::time::{Duration, Instant};

/// Lets one complaint a second through, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last: Option<Instant>,
    kept_back: u64,
}

impl Complaints {
    const PERIOD: Duration = Duration::from_secs(1);

    /// Tells whether to complain now; if so, the complaints since the last one.
    pub(crate) fn now(&mut self) -> Option<KeptBack> {
        if self.last.is_some_and(|last| last.elapsed() < Complaints::PERIOD) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(KeptBack(std::mem::take(&mut self.kept_back)))
    }
}

/// Complaints that were kept back, as the end of the next one's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeptBack(u64);

impl fmt::Display for KeptBack {
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
    fn complaints_are_rationed() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.now(), Some(KeptBack(0)));
        for _ in 0..9 {
            assert_eq!(complaints.now(), None);
        }
        assert_eq!(complaints.kept_back, 9);
        assert_eq!(KeptBack(0).to_string(), "");
        assert_eq!(KeptBack(9).to_string(), " (9 more since the last such line)");
    }
}
