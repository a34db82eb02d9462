//! The minimum rate of a client's transfer.
//!
//! A client is disconnected when it has fallen behind [`Limits::rate`] by more than
//! [`Limits::allowance`]. Time spent waiting for the client is subtracted from what is left of the
//! allowance, and each byte that the client moves adds the time that it takes at that rate. What is
//! left never exceeds the allowance.
//!
//! Only bytes that the client's system has *acknowledged* count as moved. What our kernel takes
//! into its buffer says nothing about a client that does not read; and a socket becomes writable
//! again only when a third of several megabytes has been acknowledged, which takes a slow client
//! minutes. So waits are cut into slices, and after each slice the send queue is measured.

use std::io;

use overlapped::time::{Duration, Instant};

use super::limits::{Limits, time_for};

/// Bytes by which a reader may always be behind. Systems acknowledge in pieces: after their buffer
/// was full, they announce room only when much of it is empty again.
const WINDOW: u64 = 64 << 10;
/// The maximum by which a reader may be behind. Buffers grow while they are read from, and so do
/// the pieces: 300 KB were observed. So a reader is allowed the largest piece that it was seen to
/// acknowledge at once, up to this maximum. It has paid for that time: it had received as many
/// bytes at once. At 500 bytes per second the maximum takes 17 minutes, about as long as a system
/// keeps sending to a host that is gone.
const WINDOW_MAX: u64 = 512 << 10;
/// The shortest slice. Without a minimum, the last moments would be cut into ever smaller slices.
const SLICE_MIN: Duration = Duration::from_millis(50);

/// The time that a client has left in one transfer.
#[derive(Debug)]
pub(crate) struct MinimumRate {
    left: Duration,
    allowance: Duration,
    earns: Earns,
    /// The bytes by which a reader may be behind; their time is part of `allowance`.
    window: Option<u64>,
    /// Begin of the current wait for the client.
    waiting_since: Option<Instant>,
}

/// The time that moved bytes give back.
#[derive(Debug, Clone, Copy)]
enum Earns {
    Nothing,
    /// The time that the bytes take at this rate.
    AtRate(u32),
    /// The whole allowance.
    All,
}

impl MinimumRate {
    /// Creates the minimum rate of a client that reads a reply.
    pub(crate) fn of_reader(limits: &Limits) -> MinimumRate {
        let mut rate = MinimumRate::of_sender(limits);
        rate.window = Some(0);
        rate.widen(WINDOW);
        rate.left = rate.allowance;
        rate
    }

    /// Creates the minimum rate of a client that sends a body. Every byte is seen, so there is no
    /// window.
    pub(crate) fn of_sender(limits: &Limits) -> MinimumRate {
        match limits.rate {
            0 => MinimumRate::fixed(Duration::MAX),
            rate => {
                let fixed = MinimumRate::fixed(limits.allowance);
                MinimumRate { earns: Earns::AtRate(rate), ..fixed }
            }
        }
    }

    /// Creates a limit on the whole time, whatever is moved.
    pub(crate) fn fixed(limit: Duration) -> MinimumRate {
        MinimumRate {
            left: limit,
            allowance: limit,
            earns: Earns::Nothing,
            window: None,
            waiting_since: None,
        }
    }

    /// Creates a limit on the time without any progress.
    pub(crate) fn any_progress(limit: Duration) -> MinimumRate {
        MinimumRate { earns: Earns::All, ..MinimumRate::fixed(limit) }
    }

    /// Returns the time that the client has left if it moves nothing.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// Returns the time until the send queue should be measured again.
    pub(crate) fn slice(&self) -> Duration {
        (self.left / 4).max(SLICE_MIN).min(self.left)
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.left.is_zero()
    }

    /// Tells whether the last write was partial.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Starts a wait for the client. Only transfers by sendfile(2) wait apart from a write.
    #[cfg(any(target_os = "linux", test))]
    pub(crate) fn begin_wait(&mut self) {
        self.waiting_since = Some(Instant::now());
    }

    /// Accounts for `bytes` that the client has moved during a wait that goes on. If no clock was
    /// read when that wait began, it counts as `at_least`.
    pub(crate) fn continue_wait(&mut self, bytes: u64, at_least: Duration) {
        let now = Instant::now();
        let begun = self.waiting_since.replace(now);
        if begun.is_some() {
            self.widen(bytes);
        }
        let waited = begun.map_or(at_least, |begun| now.saturating_duration_since(begun));
        self.account(bytes, waited);
    }

    /// Accounts for `bytes` that the client has moved, and ends the wait.
    pub(crate) fn end_wait(&mut self, bytes: u64) {
        self.continue_wait(bytes, Duration::ZERO);
        self.waiting_since = None;
    }

    /// Accounts for `bytes` that were moved in the time `waited`.
    pub(crate) fn account(&mut self, bytes: u64, waited: Duration) {
        let earned = match self.earns {
            Earns::AtRate(rate) => time_for(bytes, rate),
            Earns::All if bytes > 0 => self.allowance,
            Earns::All | Earns::Nothing => Duration::ZERO,
        };
        self.left = self.left.saturating_add(earned).saturating_sub(waited).min(self.allowance);
    }

    /// Widens a reader's window to `bytes`, within its bounds.
    fn widen(&mut self, bytes: u64) {
        if let (Some(window), Earns::AtRate(rate)) = (self.window, self.earns) {
            let wide = bytes.clamp(window, WINDOW_MAX);
            self.allowance = self.allowance.saturating_add(time_for(wide - window, rate));
            self.window = Some(wide);
        }
    }

    /// Restores the allowance: each piece of an endless stream has all of it.
    pub(crate) fn restart(&mut self) {
        self.left = self.allowance;
        self.waiting_since = None;
    }
}

/// Tells whether an error is a deadline of this server that has passed, and not one of the network.
pub(crate) fn is_deadline(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(rate: u32) -> Limits {
        Limits { allowance: 10 * SECOND, rate, ..Limits::default() }
    }

    #[test]
    fn waiting_spends_the_allowance_and_bytes_restore_it_up_to_its_maximum() {
        let mut rate = MinimumRate::of_sender(&limits(1024));
        assert_eq!(rate.left(), 10 * SECOND);
        rate.account(2048, 5 * SECOND);
        assert_eq!(rate.left(), 7 * SECOND);
        rate.account(1 << 30, SECOND);
        assert_eq!(rate.left(), 10 * SECOND);
        rate.account(0, 100 * SECOND);
        assert!(rate.is_exhausted());
        assert_eq!(MinimumRate::of_reader(&limits(1024)).left(), (10 + 64) * SECOND);
    }

    #[test]
    fn a_client_at_the_minimum_rate_never_runs_out_of_time_with_pieces_of_any_size() {
        for (piece, speed) in [(1_u64, 3_000), (17, 500), (4096, 500), (WINDOW, 500), (7, 1 << 30)]
        {
            let mut rate = MinimumRate::of_reader(&limits(speed));
            for _ in 0..10_000 {
                rate.account(0, time_for(piece, speed));
                assert!(rate.left() >= 9 * SECOND, "{piece} at {speed}");
                rate.account(piece, Duration::ZERO);
            }
        }
    }

    #[test]
    fn a_readers_window_grows_to_the_largest_piece_it_acknowledged_up_to_a_maximum() {
        let allowed = |pieces: &[u64], waits: bool| {
            let mut rate = MinimumRate::of_reader(&limits(1024));
            for piece in pieces {
                if waits {
                    rate.begin_wait();
                }
                rate.end_wait(*piece);
                rate.restart();
            }
            (rate.left() - 10 * SECOND).as_secs()
        };
        assert_eq!(allowed(&[1, 64 << 10], true), 64);
        assert_eq!(allowed(&[200 << 10, 7], true), 200);
        assert_eq!(allowed(&[100 << 10, 200 << 10, 1 << 30, u64::MAX], true), 512);
        assert_eq!(allowed(&[200 << 10], false), 64, "these were not waited for");
        let mut sender = MinimumRate::of_sender(&limits(1024));
        sender.begin_wait();
        sender.end_wait(1 << 20);
        assert_eq!(sender.left(), 10 * SECOND);
    }

    #[test]
    fn slices_end_with_the_allowance_and_are_few() {
        let mut rate = MinimumRate::of_reader(&limits(500));
        let mut slices = 0;
        while !rate.is_exhausted() {
            assert!(!rate.slice().is_zero() && rate.slice() <= rate.left());
            rate.account(0, rate.slice());
            slices += 1;
        }
        assert!(slices < 30, "{slices}");
    }

    #[test]
    fn a_rate_of_zero_never_ends_and_a_fixed_limit_earns_nothing() {
        let mut rate = MinimumRate::of_reader(&limits(0));
        rate.account(0, 1_000_000 * SECOND);
        assert!(rate.left() > 1_000_000 * SECOND);
        let mut rate = MinimumRate::fixed(2 * SECOND);
        rate.account(1 << 30, SECOND);
        assert_eq!(rate.left(), SECOND);
        let mut rate = MinimumRate::any_progress(2 * SECOND);
        rate.account(0, SECOND);
        rate.account(1, SECOND);
        assert_eq!(rate.left(), 2 * SECOND);
    }
}
