//! The address, the buffers and the announcement of every server.

use std::net::SocketAddr;

/// The address of a server: a port of the kernel's choice.
pub(crate) const ADDRESS: &str = "127.0.0.1:0";
/// The buffer of a connection.
pub(crate) const BUFFER_BYTES: usize = 4096;
/// The buffer of a connection whose memory is measured, on the task's stack or in its future.
pub(crate) const PARKED_BUFFER_BYTES: usize = 1024;

/// Prints the port, for the load.
pub(crate) fn announce(address: SocketAddr) {
    println!("{}", address.port());
}
