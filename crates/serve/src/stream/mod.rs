//! A connection's bytes: a socket, and what stands on it.
//!
//! ```text
//! Socket  TCP or Unix
//! Link    it, and what a drain must know of its session
//! Raw     its bytes, after those that were read too early (behind a PROXY header)
//! tls     plaintext out of those bytes, where TLS is spoken
//! Connection   what sessions and plain functions have
//! client  whether it is still there
//! ```

pub(crate) mod client;
mod connection;
mod link;
pub(crate) mod proxy;
mod raw;
mod socket;
pub(crate) mod tls;

pub use connection::Connection;
pub(crate) use link::{Link, Progress, State};
pub(crate) use raw::Raw;
pub(crate) use socket::Socket;

use std::io;

/// Whether a deadline of ours has passed, and not one of the network's.
pub(crate) fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}
