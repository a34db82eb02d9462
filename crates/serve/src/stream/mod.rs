//! A connection's bytes: a socket, and what stands on it.

mod connection;
mod link;
mod socket;

pub use connection::Connection;
pub(crate) use link::{Link, State};
pub(crate) use socket::Socket;

use std::io;

/// Whether a deadline of ours has passed, and not one of the network's.
pub(crate) fn is_late(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none()
}
