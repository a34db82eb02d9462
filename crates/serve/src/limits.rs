//! What a listener allows its clients.

use overlapped::time::Duration;

use crate::session::time_for;

/// What a listener allows. Every default can face the internet.
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
    /// Connections at a time. Further clients wait in the kernel's queue; none is refused. Default:
    /// 10,000.
    pub connections: usize,
    /// Connections at a time from one address, an IPv6 client's being its /64. Further ones are
    /// closed at once. Default: 1,024, so that one client cannot take all seats, and hundreds may
    /// share an address.
    pub per_address: usize,
    /// Time from a request's first byte until it is complete, or its head is, where the body is
    /// read by whoever answers. Not per read: a byte now and then does not help. A request that is
    /// longer than 64 KiB gets more time for what is above that, by [`rate`](Limits::rate). It is
    /// also the time for a TLS handshake and for a PROXY header. Default: 10 s.
    pub head: Duration,
    /// Time between two requests, or after the client has taken the last reply; for a plain
    /// function, the time for a read, or in which a write must get on. Default: 60 s.
    pub idle: Duration,
    /// Time for answering one request, reading its body included: calls that wait fail with
    /// `TimedOut` then. Without it, the rate bounds what clients can do, and nothing what the
    /// answering code does. Default: none.
    pub request: Option<Duration>,
    /// Bytes per second that a client must send of a body and must take of a reply, on average: one
    /// that falls behind it by more than the [`slack`](Limits::slack) is cut, and no other is. Only
    /// time spent in waiting for it counts. A client has taken what its system has acknowledged.
    /// 0: clients may be as slow as they like. Default: 500.
    pub rate: u32,
    /// The time by which a client may be behind the rate: so long it may do nothing. Being quicker
    /// is not saved up. A reader may be behind by 64 KiB more, since systems acknowledge in pieces
    /// as big as that: so one that stops reading is cut after this time and that of 64 KiB at the
    /// rate. Default: 60 s.
    pub slack: Duration,
    /// Bytes of a request that is taken as a whole; the protocol's own limit is usually lower. At
    /// least 4 KiB. Default: 2 MiB.
    pub request_bytes: usize,
    /// Bytes of one reply's parts; one that is longer is cut off, and the connection with it.
    /// Endless streams are not counted. Default: none.
    pub reply_bytes: Option<u64>,
    /// Requests that are answered before the replies are sent. A client that sends more without
    /// reading waits. Default: 64.
    pub pipeline: usize,
    /// Bytes of a request's body that nobody wanted and that are read and thrown away, so that the
    /// connection can be kept. Default: 256 KiB.
    pub unread_bytes: u64,
    /// The time for which a connection that we close is read from without anything coming, until
    /// the client closes it, too; 30 s and 256 MiB in all. Without that, what it still sends would
    /// destroy the reply on its way (RFC 9112, 9.6). Default: 1 s.
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
            slack: Duration::from_secs(60),
            request_bytes: 2 << 20,
            reply_bytes: None,
            pipeline: 64,
            unread_bytes: 256 << 10,
            linger: Duration::from_secs(1),
        }
    }
}

impl Limits {
    /// The time that so many bytes may take.
    pub(crate) fn time_for(&self, bytes: u64) -> Duration {
        match self.rate {
            0 if bytes > 0 => Duration::MAX,
            rate => time_for(bytes, rate),
        }
    }
}
