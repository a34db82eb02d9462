//! The limits of a listener.

use overlapped::time::{Duration, Instant};

/// The longest limit: a hundred years. The clock has an end, and `Duration::MAX` is beyond it.
const FOR_EVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

/// Returns the point at which a limit that begins now ends.
pub(crate) fn instant_in(limit: Duration) -> Instant {
    Instant::now() + limit.min(FOR_EVER)
}

/// The limits that a listener sets for its clients. Every default can face the internet.
///
/// ```
/// use std::time::Duration;
/// use overlapped_serve::Limits;
///
/// let limits = Limits { idle: Duration::from_secs(5), ..Limits::default() };
/// assert_eq!(limits.connections, 10_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The maximum number of connections at a time. Further clients wait in the kernel's queue and
    /// are not refused. Default: 10,000.
    pub connections: usize,
    /// The maximum number of connections at a time from one address; an IPv6 client's /64 counts as
    /// one address. Further connections are closed at once. Default: 1,024: one client cannot take
    /// all connections, and hundreds of clients may share an address.
    pub per_address: usize,
    /// Time from a request's first byte until the request is complete, or its head, if the handler
    /// reads the body. It is not a time per read, so a byte now and then does not extend it. A
    /// request longer than 64 KiB gets more time for the excess, by [`rate`](Limits::rate). The
    /// same time applies to a TLS handshake and to a PROXY header. Default: 10 s.
    pub head: Duration,
    /// Time between two requests, counted from when the client has taken the last reply. For a
    /// plain function: the time for a read, and the time in which a write must make progress.
    /// Default: 60 s.
    pub idle: Duration,
    /// Time for answering one request, including reading its body: after it, calls that wait fail
    /// with `TimedOut`. Without it, the rate bounds what clients can do, but nothing bounds the
    /// answering code. Default: none.
    pub request: Option<Duration>,
    /// Bytes per second that a client must send of a body and must take of a reply, on average. A
    /// client that falls behind by more than the [`allowance`](Limits::allowance) is disconnected.
    /// Only time spent waiting for the client counts. A byte is taken when the client's system has
    /// acknowledged it. 0 sets no minimum. Default: 500.
    pub rate: u32,
    /// The time by which a client may be behind the rate, so also the time in which it may do
    /// nothing. A quicker client does not save up time. A reader may be behind by another 64 KiB,
    /// because systems acknowledge in pieces of that size: a client that stops reading is
    /// disconnected after this time plus the time for 64 KiB at the rate. Default: 60 s.
    pub allowance: Duration,
    /// The maximum size in bytes of a request that is buffered as a whole; the protocol's own limit
    /// is usually lower. At least 4 KiB. Default: 2 MiB.
    pub request_bytes: usize,
    /// The maximum number of bytes in the parts of one reply. A longer reply is cut off, together
    /// with its connection. Endless streams do not count. Default: none.
    pub reply_bytes: Option<u64>,
    /// The maximum number of requests that are answered before the replies are sent. A client that
    /// sends more without reading waits. Default: 64.
    pub pipeline: usize,
    /// The maximum number of unread bytes of a request's body that are read and discarded to keep
    /// the connection. Default: 256 KiB.
    pub unread_bytes: u64,
    /// The time without incoming bytes after which a lingering close ends. After its last reply the
    /// server closes the sending side and discards what still comes, until the client closes, too;
    /// 30 s and 256 MiB at most. Without that, those bytes would make the kernel reset the
    /// connection and destroy the reply on its way (RFC 9112, 9.6). Default: 1 s.
    pub linger: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 10_000,
            per_address: 1_024,
            head: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            request: None,
            rate: 500,
            allowance: Duration::from_secs(60),
            request_bytes: 2 << 20,
            reply_bytes: None,
            pipeline: 64,
            unread_bytes: 256 << 10,
            linger: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// Returns the time that `bytes` may take.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        match self.rate {
            0 if bytes > 0 => Duration::MAX,
            rate => time_for(bytes, rate),
        }
    }
}

/// Returns the time that `bytes` take at `rate` bytes per second.
pub(super) fn time_for(bytes: u64, rate: u32) -> Duration {
    let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate.max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
