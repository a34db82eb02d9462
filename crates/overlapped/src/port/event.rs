//! What comes out of a [`Port`](super::Port).

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use super::{Descriptor, OperationId};

/// The end of one request: the only one it has.
#[derive(Debug)]
pub struct Event {
    /// What was given to [`Port::submit`](super::Port::submit).
    pub key: u64,
    /// What [`Port::submit`](super::Port::submit) returned.
    pub id: OperationId,
    /// What came of it.
    pub result: io::Result<Done>,
    /// The request's descriptor.
    pub descriptor: Descriptor,
    /// The request's buffer, if it had one. After a receive or read it has become longer by what
    /// was transferred.
    pub buffer: Option<Vec<u8>>,
}

impl Event {
    /// Whether the operation ended because it was cancelled, without having done anything.
    pub fn is_cancelled(&self) -> bool {
        matches!(&self.result, Err(error) if error.raw_os_error() == Some(libc::ECANCELED))
    }
}

/// What an operation has achieved.
#[derive(Debug)]
#[non_exhaustive]
pub enum Done {
    /// A connection.
    Accepted {
        /// The connected socket: close-on-exec, non-blocking.
        socket: OwnedFd,
        /// Who is at the other end; `None` where that has no IP address.
        peer: Option<SocketAddr>,
    },
    /// The socket is connected.
    Connected,
    /// So many bytes have been received, sent, read or written.
    Transferred(usize),
    /// The descriptor is readable or writable.
    Ready,
}
