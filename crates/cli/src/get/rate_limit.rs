//! A limit on the bytes per second of all downloads together.

use std::cell::Cell;

use overlapped::time::{Duration, Instant, sleep};

/// The number of pieces per second, so that the pauses are short.
const PIECES: u64 = 10;

/// The limit, and the time at which the next bytes are due.
#[derive(Debug)]
pub(super) struct RateLimiter {
    /// `None`: no limit.
    rate: Option<u64>,
    due: Cell<Instant>,
}

impl RateLimiter {
    pub(super) fn new(bytes_per_second: Option<u64>) -> RateLimiter {
        RateLimiter { rate: bytes_per_second, due: Cell::new(Instant::now()) }
    }

    /// Returns the most bytes to read at once.
    pub(super) fn piece(&self) -> usize {
        let piece = self.rate.map_or(u64::MAX, |rate| (rate / PIECES).max(1));
        usize::try_from(piece).unwrap_or(usize::MAX)
    }

    /// Waits until `bytes` more bytes are due. Time without a download is not credited.
    pub(super) fn wait(&self, bytes: usize) {
        let Some(rate) = self.rate else { return };
        let now = Instant::now();
        let takes = Duration::from_secs_f64(bytes as f64 / rate as f64);
        let due = self.due.get().max(now) + takes;
        self.due.set(due);
        sleep(due - now);
    }
}
