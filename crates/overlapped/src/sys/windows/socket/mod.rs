//! Calls on sockets by the names of Windows. `sys::socket` has those that all systems share.

pub(crate) mod address;
pub(crate) mod connecting;
pub(crate) mod message;
pub(crate) mod transfer;

use std::io;
use std::os::windows::io::AsRawSocket;
pub(crate) use std::os::windows::io::{AsSocket, BorrowedSocket, OwnedSocket};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use windows_sys::Win32::Networking::WinSock::{
    IPPROTO_TCP, SOCKET, SOCKET_ERROR, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL, getsockopt,
};

use super::descriptor::Raw;
use crate::sys::errno;

/// Returns the socket's number.
pub(crate) fn raw_of(socket: BorrowedSocket<'_>) -> Raw {
    socket.as_raw_socket()
}

/// Makes a socket that children do not inherit, in non-blocking mode.
pub(crate) fn new(domain: Domain, kind: Type, protocol: Protocol) -> io::Result<Socket> {
    let socket = Socket::new(domain, kind, Some(protocol))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The longest queue of clients that the system allows (`SOMAXCONN`).
pub(crate) const BACKLOG_MAX: i32 = i32::MAX;

/// Prepares a listening socket's address: nothing, as in std. (`SO_REUSEADDR` would let any program
/// take the address over.)
pub(crate) fn prepare_listener(_: &SockRef<'_>) -> io::Result<()> {
    Ok(())
}

/// Tells whether a connect goes on in the system.
pub(crate) fn is_under_way(error: &io::Error) -> bool {
    errno::says_would_block(error)
}

/// Returns the times and the count of a keepalive that is on.
pub(crate) fn keepalive_times(socket: &SockRef<'_>) -> io::Result<(Duration, Duration, u32)> {
    let number = |option| tcp_option(socket, option);
    let seconds = |option| number(option).map(|seconds| Duration::from_secs(seconds.into()));
    Ok((seconds(TCP_KEEPIDLE)?, seconds(TCP_KEEPINTVL)?, number(TCP_KEEPCNT)?))
}

/// Returns an option of TCP, a number.
fn tcp_option(socket: &SockRef<'_>, option: i32) -> io::Result<u32> {
    let (mut value, mut len) = (0_u32, size_of::<u32>() as i32);
    // SAFETY: both places are valid for writes, and `len` is the room behind `value`.
    let failed = unsafe {
        let (number, place) = (socket.as_raw_socket() as SOCKET, (&raw mut value).cast());
        getsockopt(number, IPPROTO_TCP, option, place, &raw mut len) == SOCKET_ERROR
    };
    if failed { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Returns an error: there is no such option. Sockets of one address share no queue.
pub(crate) fn set_reuse_port(_: BorrowedSocket<'_>, _on: bool) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system has no SO_REUSEPORT"))
}
