//! Calls that never wait, for the std-shaped sockets: creation, options, names.
//!
//! Everything is on borrowed descriptors and gives `io::Result` with std's kinds. Sockets made
//! here are close-on-exec and non-blocking from their first moment.

use std::io;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// A listening TCP socket, made as std does: `SO_REUSEADDR`, bind, listen. std asks for a backlog
/// of 128; here it is the system's maximum (`net.core.somaxconn`), which is what -1 means.
pub(crate) fn tcp_listener(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = new_stream(addr)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(*addr))?;
    socket.listen(-1)?;
    Ok(socket.into())
}

/// A TCP socket that can connect to `addr`.
pub(crate) fn tcp_stream(addr: &SocketAddr) -> io::Result<OwnedFd> {
    Ok(new_stream(addr)?.into())
}

fn new_stream(addr: &SocketAddr) -> io::Result<Socket> {
    // CLOEXEC comes with `nonblocking()`'s atomic flags, or by itself in `Socket::new`.
    Socket::new(
        Domain::for_address(*addr),
        Type::STREAM.nonblocking().cloexec(),
        Some(Protocol::TCP),
    )
}

/// getsockname(2).
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&fd).local_addr()?)
}

/// getpeername(2).
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    to_std(&SockRef::from(&fd).peer_addr()?)
}

fn to_std(addr: &SockAddr) -> io::Result<SocketAddr> {
    addr.as_socket().ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, "the address is neither IPv4 nor IPv6")
    })
}

/// `TCP_NODELAY`.
pub(crate) fn nodelay(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).tcp_nodelay()
}

/// `TCP_NODELAY`.
pub(crate) fn set_nodelay(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_nodelay(on)
}

/// `TCP_QUICKACK`.
pub(crate) fn quickack(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).tcp_quickack()
}

/// `TCP_QUICKACK`.
pub(crate) fn set_quickack(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_quickack(on)
}

/// `IP_TTL`, as std has it.
pub(crate) fn ttl(fd: BorrowedFd<'_>) -> io::Result<u32> {
    SockRef::from(&fd).ttl_v4()
}

/// `IP_TTL`, as std has it.
pub(crate) fn set_ttl(fd: BorrowedFd<'_>, ttl: u32) -> io::Result<()> {
    SockRef::from(&fd).set_ttl_v4(ttl)
}

/// `IPV6_V6ONLY`.
pub(crate) fn only_v6(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).only_v6()
}

/// `IPV6_V6ONLY`.
pub(crate) fn set_only_v6(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_only_v6(on)
}

/// `SO_LINGER`.
pub(crate) fn linger(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).linger()
}

/// `SO_LINGER`.
pub(crate) fn set_linger(fd: BorrowedFd<'_>, linger: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_linger(linger)
}

/// `SO_ERROR`, which reading clears.
pub(crate) fn take_error(fd: BorrowedFd<'_>) -> io::Result<Option<io::Error>> {
    SockRef::from(&fd).take_error()
}

/// shutdown(2).
pub(crate) fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    SockRef::from(&fd).shutdown(how)
}

/// `SO_RCVTIMEO`; no operation of a port obeys it, a blocking socket made of this one will.
pub(crate) fn read_timeout(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).read_timeout()
}

/// `SO_RCVTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_read_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_read_timeout(checked(timeout)?)
}

/// `SO_SNDTIMEO`.
pub(crate) fn write_timeout(fd: BorrowedFd<'_>) -> io::Result<Option<Duration>> {
    SockRef::from(&fd).write_timeout()
}

/// `SO_SNDTIMEO`. As in std, a timeout of zero is an error (`InvalidInput`).
pub(crate) fn set_write_timeout(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<()> {
    SockRef::from(&fd).set_write_timeout(checked(timeout)?)
}

fn checked(timeout: Option<Duration>) -> io::Result<Option<Duration>> {
    if timeout == Some(Duration::ZERO) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "cannot set a 0 duration timeout"));
    }
    // The kernel counts microseconds and takes 0 for "never".
    Ok(timeout.map(|timeout| timeout.max(Duration::from_micros(1))))
}

/// `O_NONBLOCK`.
pub(crate) fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// `O_NONBLOCK`.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let before = rustix::fs::fcntl_getfl(fd)?;
    let mut after = before;
    after.set(OFlags::NONBLOCK, on);
    if after != before {
        rustix::fs::fcntl_setfl(fd, after)?;
    }
    Ok(())
}

/// Another descriptor for the same open file, close-on-exec.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// An anonymous pipe: reading end, writing end. Close-on-exec, in blocking mode.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Has `f` called in every child of fork(2), by the thread that forked. Once per process.
///
/// `f` is called where little is allowed: it must be async-signal-safe (pthread_atfork(3)).
pub(crate) fn in_fork_children(f: extern "C" fn()) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    // SAFETY: `f` is a function of the right type that stays for ever. Failure, for want of memory,
    // leaves children as they would be without it.
    ONCE.call_once(|| _ = unsafe { libc::pthread_atfork(None, None, Some(f)) });
}

/// Raises the soft limit on open descriptors to the hard one and returns both, as they are now.
pub fn raise_fd_limit() -> io::Result<(u64, u64)> {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Nofile);
    if current != maximum {
        let wanted = Rlimit { current: maximum, maximum };
        rustix::process::setrlimit(Resource::Nofile, wanted)?;
    }
    let maximum = maximum.unwrap_or(u64::MAX);
    Ok((maximum, maximum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn sockets_are_non_blocking_and_close_on_exec_from_the_start() {
        let listener = tcp_listener(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = local_addr(listener.as_fd()).unwrap();
        let stream = tcp_stream(&addr).unwrap();
        for fd in [&listener, &stream] {
            assert!(nonblocking(fd.as_fd()).unwrap());
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn the_flag_for_blocking_comes_and_goes() {
        let stream = tcp_stream(&"[::1]:9".parse().unwrap()).unwrap();
        set_nonblocking(stream.as_fd(), false).unwrap();
        assert!(!nonblocking(stream.as_fd()).unwrap());
        set_nonblocking(stream.as_fd(), true).unwrap();
        assert!(nonblocking(duplicate(stream.as_fd()).unwrap().as_fd()).unwrap());
    }

    #[test]
    fn a_timeout_of_zero_is_refused_as_in_std() {
        let stream = tcp_stream(&"127.0.0.1:9".parse().unwrap()).unwrap();
        let error = set_read_timeout(stream.as_fd(), Some(Duration::ZERO)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        set_read_timeout(stream.as_fd(), Some(Duration::from_secs(2))).unwrap();
        assert_eq!(read_timeout(stream.as_fd()).unwrap(), Some(Duration::from_secs(2)));
    }

    #[test]
    fn the_limit_on_descriptors_is_raised_to_the_hard_one() {
        let (soft, hard) = raise_fd_limit().unwrap();
        assert_eq!(soft, hard);
        assert_eq!(rustix::process::getrlimit(Resource::Nofile).current, Some(soft));
    }
}
