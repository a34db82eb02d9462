//! Options and addresses that sockets of all kinds have.

pub(crate) mod connecting;
pub(crate) mod local;
pub(crate) mod raw;
pub(crate) mod tcp;
pub(crate) mod transfer;
pub(crate) mod udp;

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use socket2::{SockAddr, SockRef};

use crate::sys::native;

/// Calls getsockname(2).
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&fd).local_addr()?)
}

/// Calls getpeername(2).
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&fd).peer_addr()?)
}

fn to_std(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the address is neither IPv4 nor IPv6")
    })
}

/// Returns `IP_TTL`, as std has it.
pub(crate) fn ttl(fd: BorrowedFd<'_>) -> io::Result<u32> {
    SockRef::from(&fd).ttl_v4()
}

/// Sets `IP_TTL`, as std has it.
pub(crate) fn set_ttl(fd: BorrowedFd<'_>, ttl: u32) -> io::Result<()> {
    SockRef::from(&fd).set_ttl_v4(ttl)
}

/// Returns `IPV6_V6ONLY`.
pub(crate) fn only_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).only_v6()
}

/// Sets `IPV6_V6ONLY`.
pub(crate) fn set_only_v6(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_only_v6(on)
}

/// Returns `SO_LINGER`.
pub(crate) fn linger(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).linger()
}

/// Sets `SO_LINGER`.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, linger: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_linger(linger)
}

/// Sets `SO_REUSEPORT`.
pub(crate) fn set_reuse_port(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_reuse_port(on)
}

/// Returns `SO_RCVBUF`.
pub(crate) fn recv_buffer_size(fd: BorrowedFd<'_>) -> io::Result<usize> {
    SockRef::from(&fd).recv_buffer_size()
}

/// Sets `SO_RCVBUF`.
pub(crate) fn set_recv_buffer_size(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&fd).set_recv_buffer_size(bytes.min(i32::MAX as usize))
}

/// Returns `SO_SNDBUF`.
pub(crate) fn send_buffer_size(fd: BorrowedFd<'_>) -> io::Result<usize> {
    SockRef::from(&fd).send_buffer_size()
}

/// Sets `SO_SNDBUF`.
pub(crate) fn set_send_buffer_size(fd: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    SockRef::from(&fd).set_send_buffer_size(bytes.min(i32::MAX as usize))
}

/// Returns `SO_ERROR`, which reading clears.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    SockRef::from(&fd).take_error()
}

/// Tells whether `fd` is a socket of the Unix family.
pub(crate) fn is_unix(fd: BorrowedFd<'_>) -> bool {
    SockRef::from(&fd).local_addr().is_ok_and(|addr| addr.is_unix())
}

/// Tells whether a stream socket of the Unix family is shut down for writing, by either side: an
/// empty send fails then, and sends nothing otherwise.
pub(crate) fn is_shut_down_for_writing(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no byte is read.
    unsafe { transfer::send(fd.as_raw_fd(), std::ptr::dangling(), 0, 0) < 0 }
}

/// Calls shutdown(2).
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    SockRef::from(&fd).shutdown(how)
}

/// Returns `SO_RCVTIMEO`; no operation of a port obeys it, a blocking socket made of this one will.
pub(crate) fn read_timeout(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).read_timeout()
}

/// Sets `SO_RCVTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_read_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_read_timeout(checked(timeout)?)
}

/// Returns `SO_SNDTIMEO`.
pub(crate) fn write_timeout(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).write_timeout()
}

/// Sets `SO_SNDTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_write_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_write_timeout(checked(timeout)?)
}

/// Returns the bytes that are not sent, or whose receipt is not acknowledged.
pub(crate) fn send_queue(fd: BorrowedFd<'_>) -> io::Result<usize> {
    native::abi::send_queue(fd.as_raw_fd())
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
    use std::os::fd::AsFd;

    #[test]
    fn a_timeout_of_zero_is_refused_as_in_std() {
        let stream = tcp::stream(&"127.0.0.1:9".parse().unwrap()).unwrap();
        let error = set_read_timeout(stream.as_fd(), Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        set_read_timeout(stream.as_fd(), Some(Duration::from_secs(2))).unwrap();
        assert_eq!(read_timeout(stream.as_fd()).unwrap(), Some(Duration::from_secs(2)));
    }
}
