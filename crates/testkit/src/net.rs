//! Connected sockets.

use std::net::{TcpListener, TcpStream};

/// Connects two of std's sockets over the loopback: the one that connected, and the one that was
/// accepted.
///
/// # Panics
///
/// The system refuses.
#[track_caller]
pub fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port of the loopback is free");
    let address = listener.local_addr().expect("a listener has an address");
    let one = TcpStream::connect(address).expect("a listener of the loopback is reached");
    (one, listener.accept().expect("a connection was made").0)
}
