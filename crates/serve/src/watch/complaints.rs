//! Complaints that could come thousands of times a second.

use overlapped::time::{Duration, Instant};

/// Lets one complaint a second through, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct Complaints {
    last: Option<Instant>,
    kept_back: u64,
}

impl Complaints {
    const PERIOD: Duration = Duration::from_secs(1);

    /// Whether to complain now; if so, how often it was kept back since the last time.
    pub(crate) fn now(&mut self) -> Option<u64> {
        if self.last.is_some_and(|last| last.elapsed() < Complaints::PERIOD) {
            self.kept_back += 1;
            return None;
        }
        self.last = Some(Instant::now());
        Some(std::mem::take(&mut self.kept_back))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_rationed() {
        let mut complaints = Complaints::default();
        assert_eq!(complaints.now(), Some(0));
        for _ in 0..9 {
            assert_eq!(complaints.now(), None);
        }
        assert_eq!(complaints.kept_back, 9);
    }
}
