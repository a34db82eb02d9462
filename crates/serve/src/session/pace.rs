//! How long a client may be waited for, by what it has moved.
//!
//! A client is cut when it has fallen behind [`Limits::rate`] by more than [`Limits::slack`]: time
//! spent in waiting for it is taken from what is left of the slack, and bytes that it has moved
//! give back the time that they take at that rate. Never more is left than at the beginning.
//!
//! What a client has moved is what its system has *acknowledged*. What our kernel takes into its
//! buffer is no merit of a client that does not read; and that a socket is writable again is told
//! when a third of megabytes has gone, which takes a slow client minutes. So waits are cut into
//! slices, and after each the send queue is asked how much is left in it.

use overlapped::time::{Duration, Instant};

use crate::Limits;

/// Systems acknowledge in pieces: when a buffer was full, they say that there is room when much of
/// it is empty again. So a reader may be behind by so many bytes, too.
const WINDOW: u64 = 64 << 10;
/// The most that it may be behind by. Buffers grow while they are read from, and with them the
/// pieces: 300 KB were seen. So a reader is allowed what it was seen to acknowledge between two
/// looks, up to this. It has paid for that time: it had as many bytes at once. At 500 bytes a
/// second these are 17 minutes, about as long as a system goes on for a host that is gone.
const WINDOW_MAX: u64 = 512 << 10;
/// The shortest slice, or the last moments would be cut into ever smaller ones.
const SLICE_MIN: Duration = Duration::from_millis(50);

/// The patience with a client in one transfer.
#[derive(Debug)]
pub(crate) struct Pace {
    left: Duration,
    most: Duration,
    earns: Earns,
    /// The bytes that a client which acknowledges in pieces may be behind by; part of `most`.
    window: Option<u64>,
    /// The client is waited for since then.
    waiting: Option<Instant>,
}

/// The time that moved bytes give back.
#[derive(Debug, Clone, Copy)]
enum Earns {
    Nothing,
    /// The time that they take at this rate.
    AtRate(u32),
    All,
}

impl Pace {
    /// The patience with a client that takes a reply, as the limits promise it.
    pub(crate) fn of_reader(limits: &Limits) -> Pace {
        let mut pace = Pace::of_sender(limits);
        pace.window = Some(0);
        pace.widen(WINDOW);
        pace.left = pace.most;
        pace
    }

    /// The patience with a client that sends a body, of which every byte is seen.
    pub(crate) fn of_sender(limits: &Limits) -> Pace {
        Pace::at_rate(limits.rate, limits.slack)
    }

    fn at_rate(rate: u32, most: Duration) -> Pace {
        if rate == 0 {
            return Pace::fixed(Duration::MAX);
        }
        Pace { earns: Earns::AtRate(rate), ..Pace::fixed(most) }
    }

    /// A limit on the whole time.
    pub(crate) fn fixed(limit: Duration) -> Pace {
        Pace { left: limit, most: limit, earns: Earns::Nothing, window: None, waiting: None }
    }

    /// A limit on the time without any progress.
    pub(crate) fn any(limit: Duration) -> Pace {
        Pace { earns: Earns::All, ..Pace::fixed(limit) }
    }

    /// The time that the client has, if it moves nothing.
    pub(crate) fn left(&self) -> Duration {
        self.left
    }

    /// The wait until it is asked what has moved.
    pub(crate) fn slice(&self) -> Duration {
        (self.left / 4).max(SLICE_MIN).min(self.left)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left.is_zero()
    }

    /// Tells whether the last write was not taken whole.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.is_some()
    }

    /// From now on the client is waited for.
    pub(crate) fn begin_wait(&mut self) {
        self.waiting = Some(Instant::now());
    }

    /// The client has moved so many bytes while it was waited for; if nobody has looked at the
    /// clock when that began, for `least`. It is still waited for.
    pub(crate) fn go_on(&mut self, bytes: u64, least: Duration) {
        let now = Instant::now();
        let begun = self.waiting.replace(now);
        if begun.is_some() {
            self.widen(bytes);
        }
        self.note(bytes, begun.map_or(least, |begun| now.saturating_duration_since(begun)));
    }

    /// Allows a reader to be behind by so much.
    fn widen(&mut self, bytes: u64) {
        if let (Some(window), Earns::AtRate(rate)) = (self.window, self.earns) {
            let wide = bytes.clamp(window, WINDOW_MAX);
            self.most = self.most.saturating_add(time_for(wide - window, rate));
            self.window = Some(wide);
        }
    }

    /// The client is not waited for any more.
    pub(crate) fn end_wait(&mut self, bytes: u64) {
        self.go_on(bytes, Duration::ZERO);
        self.waiting = None;
    }

    /// Notes bytes that were moved, and the time that it took.
    pub(crate) fn note(&mut self, bytes: u64, waited: Duration) {
        let earned = match self.earns {
            Earns::AtRate(rate) => time_for(bytes, rate),
            Earns::All if bytes > 0 => self.most,
            Earns::All | Earns::Nothing => Duration::ZERO,
        };
        self.left = self.left.saturating_add(earned).saturating_sub(waited).min(self.most);
    }

    /// For an endless stream: each piece has the slack.
    pub(crate) fn begin_piece(&mut self) {
        self.left = self.most;
        self.waiting = None;
    }
}

/// The time that so many bytes take.
pub(crate) fn time_for(bytes: u64, rate: u32) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits(rate: u32) -> Limits {
        Limits { slack: 10 * SECOND, rate, ..Limits::default() }
    }

    #[test]
    fn patience_is_spent_by_waiting_and_earned_by_bytes_and_not_saved_up() {
        let mut pace = Pace::of_sender(&limits(1024));
        assert_eq!(pace.left(), 10 * SECOND);
        pace.note(2048, 5 * SECOND);
        assert_eq!(pace.left(), 7 * SECOND);
        pace.note(1 << 30, SECOND);
        assert_eq!(pace.left(), 10 * SECOND);
        pace.note(0, 100 * SECOND);
        assert!(pace.is_over());
        assert_eq!(Pace::of_reader(&limits(1024)).left(), (10 + 64) * SECOND);
    }

    #[test]
    fn a_client_at_the_rate_never_runs_out_whatever_pieces_it_moves() {
        for (piece, rate) in [(1_u64, 3_000), (17, 500), (4096, 500), (WINDOW, 500), (7, 1 << 30)] {
            let mut pace = Pace::of_reader(&limits(rate));
            for _ in 0..10_000 {
                pace.note(0, time_for(piece, rate));
                assert!(pace.left() >= 9 * SECOND, "{piece} at {rate}");
                pace.note(piece, Duration::ZERO);
            }
        }
    }

    #[test]
    fn a_reader_is_allowed_the_pieces_that_it_was_seen_to_acknowledge_up_to_a_limit() {
        let allowed = |pieces: &[u64], waits: bool| {
            let mut pace = Pace::of_reader(&limits(1024));
            for piece in pieces {
                if waits {
                    pace.begin_wait();
                }
                pace.end_wait(*piece);
                pace.begin_piece();
            }
            (pace.left() - 10 * SECOND).as_secs()
        };
        assert_eq!(allowed(&[1, 64 << 10], true), 64);
        assert_eq!(allowed(&[200 << 10, 7], true), 200);
        assert_eq!(allowed(&[100 << 10, 200 << 10, 1 << 30, u64::MAX], true), 512);
        assert_eq!(allowed(&[200 << 10], false), 64, "nobody waited for these");
        let mut sender = Pace::of_sender(&limits(1024));
        sender.begin_wait();
        sender.end_wait(1 << 20);
        assert_eq!(sender.left(), 10 * SECOND);
    }

    #[test]
    fn slices_end_before_the_patience_and_there_are_few_of_them() {
        let mut pace = Pace::of_reader(&limits(500));
        let mut slices = 0;
        while !pace.is_over() {
            assert!(!pace.slice().is_zero() && pace.slice() <= pace.left());
            pace.note(0, pace.slice());
            slices += 1;
        }
        assert!(slices < 30, "{slices}");
    }

    #[test]
    fn without_a_rate_there_is_no_end_and_a_fixed_one_is_not_moved() {
        let mut pace = Pace::of_reader(&limits(0));
        pace.note(0, 1_000_000 * SECOND);
        assert!(pace.left() > 1_000_000 * SECOND);
        let mut pace = Pace::fixed(2 * SECOND);
        pace.note(1 << 30, SECOND);
        assert_eq!(pace.left(), SECOND);
        let mut pace = Pace::any(2 * SECOND);
        pace.note(0, SECOND);
        pace.note(1, SECOND);
        assert_eq!(pace.left(), 2 * SECOND);
    }
}
