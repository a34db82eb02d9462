//! Sockets of the Unix family: creation, names.

use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::{SocketAddr, UnixDatagram};

use socket2::{Domain, SockRef, Socket, Type};

use crate::sys::address::SocketAddrBuf;
use crate::sys::native::abi;

/// Makes a stream socket that is neither bound nor connected.
pub(crate) fn stream() -> io::Result<OwnedFd> {
    Ok(new(Type::STREAM)?.into())
}

/// Makes a stream socket that listens at `addr`, with the system's longest backlog, as in std.
pub(crate) fn listener(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = new(Type::STREAM)?;
    socket.bind(&SocketAddrBuf::from(addr).to_socket2())?;
    socket.listen(-1)?;
    Ok(socket.into())
}

/// Makes a datagram socket, and binds it if an address is given.
pub(crate) fn datagram(addr: Option<&SocketAddr>) -> io::Result<OwnedFd> {
    let socket = new(Type::DGRAM)?;
    if let Some(addr) = addr {
        socket.bind(&SocketAddrBuf::from(addr).to_socket2())?;
    }
    Ok(socket.into())
}

/// Two streams connected to each other.
pub(crate) fn stream_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(Type::STREAM)
}

/// Two datagram sockets connected to each other.
pub(crate) fn datagram_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    pair(Type::DGRAM)
}

fn new(kind: Type) -> io::Result<Socket> {
    abi::socket(Domain::UNIX, kind, None)
}

fn pair(kind: Type) -> io::Result<(OwnedFd, OwnedFd)> {
    let (one, other) = abi::socket_pair(kind)?;
    Ok((one.into(), other.into()))
}

/// Calls connect(2) of a datagram socket, which never waits.
pub(crate) fn connect(fd: BorrowedFd<'_>, addr: &SocketAddr) -> io::Result<()> {
    SockRef::from(&fd).connect(&SocketAddrBuf::from(addr).to_socket2())
}

/// Calls getsockname(2).
pub(crate) fn local_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    std_socket(fd).local_addr()
}

/// Calls getpeername(2).
pub(crate) fn peer_addr(fd: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    std_socket(fd).peer_addr()
}

/// Lends the descriptor to a socket of std's, which knows every form of an address; it does not
/// look at the kind of the socket.
fn std_socket(fd: BorrowedFd<'_>) -> ManuallyDrop<UnixDatagram> {
    // SAFETY: the descriptor is open as long as `fd` is borrowed, which covers the callers' one
    // call each, and is not closed here.
    ManuallyDrop::new(unsafe { UnixDatagram::from_raw_fd(fd.as_raw_fd()) })
}
