//! TCP sockets: creation, options.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{BorrowedFd, OwnedFd};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

/// A listening TCP socket, made as std does: `SO_REUSEADDR`, bind, listen. std asks for a backlog
/// of 128; here it is the system's maximum (`net.core.somaxconn`), which is what -1 means.
pub(crate) fn listener(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = new_stream(addr)?;
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(*addr))?;
    socket.listen(-1)?;
    Ok(socket.into())
}

/// A TCP socket that can connect to `addr`.
pub(crate) fn stream(addr: &SocketAddr) -> io::Result<OwnedFd> {
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
