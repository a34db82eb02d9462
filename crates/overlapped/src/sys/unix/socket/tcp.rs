//! TCP sockets: creation, options.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use crate::sys::native::abi;

/// Makes a listening TCP socket, made as std does.
pub(crate) fn listener(addr: &SocketAddr) -> io::Result<OwnedFd> {
    let fd = stream(addr)?;
    listen(fd.as_fd(), addr, None)?;
    Ok(fd)
}

/// Makes a new socket listen: `SO_REUSEADDR`, bind, listen. std asks for a backlog of 128; here it
/// is the system's maximum (`net.core.somaxconn`) unless one is given, which is what -1 means.
pub(crate) fn listen(
    fd: BorrowedFd<'_>,
    addr: &SocketAddr,
    backlog: Option<u32>,
) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    socket.set_reuse_address(true)?;
    socket.bind(&SockAddr::from(*addr))?;
    socket.listen(backlog.map_or(-1, |backlog| backlog.try_into().unwrap_or(i32::MAX)))
}

/// Makes a TCP socket that can connect to `addr`.
pub(crate) fn stream(addr: &SocketAddr) -> io::Result<OwnedFd> {
    Ok(new_stream(addr)?.into())
}

/// The outcome of starting a connect.
pub(crate) enum Connecting {
    Done(OwnedFd),
    UnderWay(OwnedFd),
}

/// Calls connect(2) on a new socket, without waiting for it.
pub(crate) fn start_connect(addr: &SocketAddr) -> io::Result<Connecting> {
    let socket = new_stream(addr)?;
    match socket.connect(&SockAddr::from(*addr)) {
        Ok(()) => Ok(Connecting::Done(socket.into())),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {
            Ok(Connecting::UnderWay(socket.into()))
        }
        Err(error) => Err(error),
    }
}

/// Returns the result of a connect that has ended.
pub(crate) fn connected(fd: BorrowedFd<'_>) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    match socket.take_error()? {
        Some(error) => Err(error),
        None => socket.peer_addr().map(drop),
    }
}

fn new_stream(addr: &SocketAddr) -> io::Result<Socket> {
    abi::socket(Domain::for_address(*addr), Type::STREAM, Some(Protocol::TCP))
}

/// Returns `TCP_NODELAY`.
pub(crate) fn nodelay(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).tcp_nodelay()
}

/// Sets `TCP_NODELAY`.
pub(crate) fn set_nodelay(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_nodelay(on)
}

/// Returns `TCP_QUICKACK`.
#[cfg(target_os = "linux")]
pub(crate) fn quickack(fd: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&fd).tcp_quickack()
}

/// Sets `TCP_QUICKACK`.
#[cfg(target_os = "linux")]
pub(crate) fn set_quickack(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&fd).set_tcp_quickack(on)
}

/// Returns `SO_KEEPALIVE`: idle time, interval, probes.
pub(crate) fn keepalive(fd: BorrowedFd<'_>) -> io::Result<Option<(Duration, Duration, u32)>> {
    let socket = SockRef::from(&fd);
    if !socket.keepalive()? {
        return Ok(None);
    }
    let idle = socket.tcp_keepalive_time()?;
    Ok(Some((idle, socket.tcp_keepalive_interval()?, socket.tcp_keepalive_retries()?)))
}

/// Sets `SO_KEEPALIVE`. Times are rounded up to seconds.
pub(crate) fn set_keepalive(
    fd: BorrowedFd<'_>,
    values: Option<(Duration, Duration, u32)>,
) -> io::Result<()> {
    let socket = SockRef::from(&fd);
    let Some((idle, interval, probes)) = values else {
        return socket.set_keepalive(false);
    };
    let seconds = |time: Duration| {
        let more = u64::from(time.subsec_nanos() > 0);
        Duration::from_secs(time.as_secs().saturating_add(more))
    };
    let times = TcpKeepalive::new().with_time(seconds(idle)).with_interval(seconds(interval));
    socket.set_tcp_keepalive(&times.with_retries(probes))
}
