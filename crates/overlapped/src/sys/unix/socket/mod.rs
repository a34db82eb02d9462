//! Calls on sockets by the names of Unix. `sys::socket` has those that all systems share.

pub(crate) mod address;
pub(crate) mod connecting;
pub(crate) mod local;
pub(crate) mod message;
pub(crate) mod raw;
pub(crate) mod transfer;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use crate::sys::native::abi;

/// A socket. Its names, and those of its traits, are std's for Windows, which tells sockets from
/// handles. On Unix both are descriptors.
pub(crate) type OwnedSocket = OwnedFd;
pub(crate) type BorrowedSocket<'a> = BorrowedFd<'a>;

/// `AsFd` by the name that it has for sockets on Windows.
pub(crate) trait AsSocket {
    fn as_socket(&self) -> BorrowedSocket<'_>;
}

impl<T: AsFd> AsSocket for T {
    fn as_socket(&self) -> BorrowedSocket<'_> {
        self.as_fd()
    }
}

/// Returns the socket's number.
pub(crate) fn raw_of(socket: BorrowedSocket<'_>) -> RawFd {
    socket.as_raw_fd()
}

/// Makes a socket that children do not inherit, in non-blocking mode.
pub(crate) fn new(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    abi::socket(domain, kind, Some(protocol))
}

/// The longest queue of clients that the system allows (`net.core.somaxconn`).
pub(crate) const BACKLOG_MAX: i32 = -1;

/// Prepares a listening socket's address: it may be in use by connections of the past, as in std.
pub(crate) fn prepare_listener(socket: &SockRef<'_>) -> io::Result<()> {
    socket.set_reuse_address(true)
}

/// Tells whether a connect goes on in the kernel.
pub(crate) fn is_under_way(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EINPROGRESS)
}

/// Sets `SO_REUSEPORT`.
pub(crate) fn set_reuse_port(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_reuse_port(on)
}

/// Tells whether a stream socket of the Unix family is shut down for writing, by either side: an
/// empty send fails then, and sends nothing otherwise.
pub(crate) fn is_shut_down_for_writing(socket: BorrowedSocket<'_>) -> bool {
    // SAFETY: no byte is read.
    unsafe { transfer::send(socket.as_raw_fd(), std::ptr::dangling(), 0, 0) < 0 }
}

/// Returns the bytes that are not sent, or whose receipt is not acknowledged.
pub(crate) fn send_queue(socket: BorrowedSocket<'_>) -> io::Result<usize> {
    abi::send_queue(socket.as_raw_fd())
}

/// Returns the times and the count of a keepalive that is on.
pub(crate) fn keepalive_times(socket: &SockRef<'_>) -> io::Result<(Duration, Duration, u32)> {
    let idle = socket.tcp_keepalive_time()?;
    Ok((idle, socket.tcp_keepalive_interval()?, socket.tcp_keepalive_retries()?))
}
