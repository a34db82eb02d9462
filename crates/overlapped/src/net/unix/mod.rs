//! Sockets of the Unix family, method by method as in `std::os::unix::net`.
//!
//! [`SocketAddr`] is std's own type, with abstract names. Two waits of std are not for readiness of
//! the socket itself: a connect while the listener's queue is full, and a datagram for an address
//! whose queue is full. The kernel does not announce that such a queue has room again, so here the
//! call is tried again, first after a yield, then less and less often (`backoff`).

mod backoff;
mod datagram;
mod listener;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
