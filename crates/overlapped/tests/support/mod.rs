//! Helpers for the library's tests: the testkit, waits that let other tasklets run, and sockets of
//! the library.
#![allow(dead_code, unused_imports, reason = "every test program uses a part of it")]

use overlapped::net::{TcpListener, TcpStream};
pub(crate) use testkit::*;

/// Waits until `is_so` returns true. Other tasklets run meanwhile; outside of a scheduler the
/// thread sleeps.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_with(overlapped::time::sleep, what, is_so);
}

/// Connects two of the library's sockets over the loopback: the one that connected, and the one
/// that was accepted.
pub(crate) fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let one = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (one, listener.accept().unwrap().0)
}
