//! How long a client may be waited for, by what it has moved.

use overlapped::time::{Duration, Instant};

use crate::Limits;

/// One transfer with a client: it has the slack, and the time that its bytes take at the least rate.
/// Only the time is counted that was spent in waiting for the client.
#[derive(Debug)]
pub(crate) struct Pace<'l> {
    limits: &'l Limits,
    moved: u64,
    waited: Duration,
}

impl<'l> Pace<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Pace<'l> {
        Pace { limits, moved: 0, waited: Duration::ZERO }
    }

    /// How long the next wait may be.
    pub(crate) fn left(&self) -> Duration {
        let earned = self.limits.time_for(self.moved);
        (self.limits.slack + earned).saturating_sub(self.waited)
    }

    /// Nothing has moved yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.moved == 0 && self.waited.is_zero()
    }

    /// So many bytes were moved, after a wait since `begin`.
    pub(crate) fn note(&mut self, bytes: usize, begin: Instant) {
        self.moved += bytes as u64;
        self.waited += begin.elapsed();
    }

    /// As [`note`](Pace::note), without a wait that would matter.
    pub(crate) fn note_at_once(&mut self, bytes: usize) {
        self.moved += bytes as u64;
    }

    /// For an endless stream: each piece has the slack.
    pub(crate) fn begin_piece(&mut self) {
        (self.moved, self.waited) = (0, Duration::ZERO);
    }
}
