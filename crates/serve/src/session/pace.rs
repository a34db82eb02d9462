//! How long a client may be waited for, by what it has moved.

use overlapped::time::{Duration, Instant};

use crate::Limits;

/// The patience with a client in one transfer. It begins with the slack, shrinks by the time that
/// is spent in waiting for the client, grows by the time that its bytes take at the least rate, and
/// never exceeds the slack. (Bytes that the kernel takes at once are no merit of a client that does
/// not read them.)
#[derive(Debug)]
pub(crate) struct Pace<'l> {
    limits: &'l Limits,
    left: Duration,
}

impl<'l> Pace<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Pace<'l> {
        Pace { limits, left: limits.slack }
    }

    /// How long the next wait may be.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// So many bytes were moved, after a wait since `begin`.
    pub(crate) fn note(&mut self, bytes: usize, begin: Instant) {
        let earned = self.limits.time_for(bytes as u64);
        let left = (self.left + earned).saturating_sub(begin.elapsed());
        self.left = left.min(self.limits.slack);
    }

    /// For an endless stream: each piece has the slack.
    pub(crate) fn begin_piece(&mut self) {
        self.left = self.limits.slack;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_spent_by_waiting_and_earned_by_bytes_up_to_the_slack() {
        let second = Duration::from_secs(1);
        let limits = Limits { slack: 10 * second, rate: 1000, ..Limits::default() };
        let mut pace = Pace::new(&limits);
        let ago = |seconds| Instant::now().checked_sub(seconds * second).unwrap();
        let about = |left: Duration, seconds| {
            assert!(left <= seconds * second && left + second / 2 > seconds * second, "{left:?}");
        };
        pace.note(2000, ago(5));
        about(pace.left(), 7);
        pace.note(1_000_000, ago(1));
        about(pace.left(), 10);
        pace.note(0, ago(100));
        assert!(pace.left().is_zero());
    }
}
