//! Name resolution: `getaddrinfo`, which blocks its thread. For pool threads.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// Returns the addresses of `host`, in the resolver's order.
pub(crate) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    (host, port).to_socket_addrs().map(Iterator::collect)
}
