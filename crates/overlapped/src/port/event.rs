//! The events that come out of a [`Port`](super::Port).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::request::Descriptor;
use crate::op::Token;
use crate::sys::errno;

/// Names one operation of one port, for [`Port::cancel`](super::Port::cancel) and in its [`Event`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OperationId {
    pub(super) port: u64,
    pub(super) token: Token,
}

/// The end of one request. Each request has exactly one.
#[derive(Debug)]
pub struct Event {
    /// The key that was given to [`Port::submit`](super::Port::submit).
    pub key: u64,
    /// The id that [`Port::submit`](super::Port::submit) returned.
    pub id: OperationId,
    /// The operation's value or error.
    pub result: io::Result<Done>,
    /// The request's descriptor.
    pub descriptor: Descriptor,
    /// The request's buffer, if it had one. After a receive or read it has become longer by the
    /// transferred bytes.
    pub buffer: Option<Vec<u8>>,
}

impl Event {
    /// Tells whether the operation ended because it was cancelled, without having done anything.
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.result, Err(error) if errno::says_cancelled(error))
    }
}

/// The value of an operation that succeeded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Done {
    /// A connection.
    Accepted {
        /// The connected socket: close-on-exec, non-blocking.
        socket: OwnedFd,
        /// The peer's address; `None` if that is no IP address.
        peer: Option<SocketAddr>,
    },
    /// The socket is connected.
    Connected,
    /// The number of bytes that have been received, sent, read or written.
    Transferred(usize),
    /// The descriptor is readable or writable.
    Ready,
}
