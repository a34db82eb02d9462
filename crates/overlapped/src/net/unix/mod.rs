//! Sockets of the Unix family, method by method as in `std::os::unix::net`.
//!
//! [`SocketAddr`] is std's own type, abstract names and all. What waits in std without being
//! readiness of the socket itself waits here by trying again, first after giving way, then less and
//! less often (`patience`): a connect while the listener's queue is full, and a datagram for an
//! address whose queue is full. The system has nothing to say when such a queue has room again.

mod datagram;
mod listener;
mod patience;
mod stream;

pub use datagram::UnixDatagram;
pub use listener::{Incoming, UnixListener};
pub use std::os::unix::net::SocketAddr;
pub use stream::UnixStream;
