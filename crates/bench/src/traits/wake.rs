//! Values that go from one thread to a task on another, and back.

use std::time::{Duration, Instant};

/// A library with channels between threads.
pub(crate) trait Wake {
    /// Sends `n` values there and back, `in_flight` of them at the same time.
    fn wake(&self, asker: Asker, in_flight: u64, n: u64) -> Result<Duration, String>;

    /// Names the channel.
    fn remark(&self) -> &'static str;
}

/// The side that asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A task in a scheduler of its own.
    Task,
    /// A thread without a scheduler.
    Thread,
}

/// The asker's count of the values that it has sent, and of all that it sends.
pub(crate) struct Questions {
    sent: u64,
    all: u64,
    start: Instant,
}

impl Questions {
    /// Starts the clock, and returns the values that are sent first.
    pub(crate) fn begin(in_flight: u64, all: u64) -> (Questions, std::ops::Range<u64>) {
        let first = 0..in_flight.min(all);
        (Questions { sent: first.end, all, start: Instant::now() }, first)
    }

    /// Returns the value to send when another answer has come.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let next = (self.sent < self.all).then_some(self.sent);
        self.sent += u64::from(next.is_some());
        next
    }

    /// Returns the time since the beginning.
    pub(crate) fn took(&self) -> Duration {
        self.start.elapsed()
    }
}
