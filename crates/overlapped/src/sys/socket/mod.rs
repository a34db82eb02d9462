//! Options and addresses that sockets of all kinds have.

pub(crate) mod tcp;
pub(crate) mod udp;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use socket2::{SockAddr, SockRef};

pub(crate) use super::system::socket::*;

/// Calls getsockname(2).
pub(crate) fn local_addr(socket: BorrowedSocket<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&socket).local_addr()?)
}

/// Calls getpeername(2).
pub(crate) fn peer_addr(socket: BorrowedSocket<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&socket).peer_addr()?)
}

fn to_std(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the address is neither IPv4 nor IPv6")
    })
}

/// Returns `IP_TTL`, as std has it.
pub(crate) fn ttl(socket: BorrowedSocket<'_>) -> io::Result<u32> {
    SockRef::from(&socket).ttl_v4()
}

/// Sets `IP_TTL`, as std has it.
pub(crate) fn set_ttl(socket: BorrowedSocket<'_>, ttl: u32) -> io::Result<()> {
    SockRef::from(&socket).set_ttl_v4(ttl)
}

/// Returns `IPV6_V6ONLY`.
pub(crate) fn only_v6(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).only_v6()
}

/// Sets `IPV6_V6ONLY`.
pub(crate) fn set_only_v6(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_only_v6(on)
}

/// Returns `SO_LINGER`.
pub(crate) fn linger(socket: BorrowedSocket<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&socket).linger()
}

/// Sets `SO_LINGER`.
pub(crate) fn set_linger(socket: BorrowedSocket<'_>, linger: Option<Duration>) -> io::Result<()> {
    SockRef::from(&socket).set_linger(linger)
}

/// Returns `SO_RCVBUF`.
pub(crate) fn recv_buffer_size(socket: BorrowedSocket<'_>) -> io::Result<usize> {
    SockRef::from(&socket).recv_buffer_size()
}

/// Sets `SO_RCVBUF`.
pub(crate) fn set_recv_buffer_size(socket: BorrowedSocket<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&socket).set_recv_buffer_size(bytes.min(i32::MAX as usize))
}

/// Returns `SO_SNDBUF`.
pub(crate) fn send_buffer_size(socket: BorrowedSocket<'_>) -> io::Result<usize> {
    SockRef::from(&socket).send_buffer_size()
}

/// Sets `SO_SNDBUF`.
pub(crate) fn set_send_buffer_size(socket: BorrowedSocket<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&socket).set_send_buffer_size(bytes.min(i32::MAX as usize))
}

/// Returns `SO_ERROR`, which reading clears.
pub(crate) fn take_error(socket: BorrowedSocket<'_>) -> io::Result<Option<io::Error>> {
    SockRef::from(&socket).take_error()
}

/// Tells whether `socket` is one of the Unix family.
pub(crate) fn is_unix(socket: BorrowedSocket<'_>) -> bool {
    SockRef::from(&socket).local_addr().is_ok_and(|addr| addr.is_unix())
}

/// Calls shutdown(2).
pub(crate) fn shutdown(socket: BorrowedSocket<'_>, how: Shutdown) -> io::Result<()> {
    SockRef::from(&socket).shutdown(how)
}

/// Returns `SO_RCVTIMEO`; no operation of a port obeys it, a blocking socket made of this one will.
pub(crate) fn read_timeout(socket: BorrowedSocket<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&socket).read_timeout()
}

/// Sets `SO_RCVTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_read_timeout(
    socket: BorrowedSocket<'_>,
    timeout: Option<Duration>,
) -> io::Result<()> {
    SockRef::from(&socket).set_read_timeout(checked(timeout)?)
}

/// Returns `SO_SNDTIMEO`.
pub(crate) fn write_timeout(socket: BorrowedSocket<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&socket).write_timeout()
}

/// Sets `SO_SNDTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_write_timeout(
    socket: BorrowedSocket<'_>,
    timeout: Option<Duration>,
) -> io::Result<()> {
    SockRef::from(&socket).set_write_timeout(checked(timeout)?)
}

fn checked(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    // The kernel counts microseconds and takes 0 for "never".
    Ok(timeout.map(|timeout| timeout.max(Duration::from_micros(1))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::tcp;

    #[test]
    fn a_timeout_of_zero_is_refused_as_in_std() {
        let stream = tcp::stream(&"127.0.0.1:9".parse().unwrap()).unwrap();
        let error = set_read_timeout(stream.as_socket(), Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        set_read_timeout(stream.as_socket(), Some(Duration::from_secs(2))).unwrap();
        assert_eq!(read_timeout(stream.as_socket()).unwrap(), Some(Duration::from_secs(2)));
    }
}
