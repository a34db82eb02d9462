//! TCP sockets: creation, options.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, TcpKeepalive, Type};

use super::{AsSocket, BorrowedSocket, OwnedSocket};
use crate::sys::socket::{BACKLOG_MAX, is_under_way, keepalive_times, prepare_listener};

/// Makes a listening TCP socket, made as std does.
pub(crate) fn listener(addr: &SocketAddr) -> io::Result<OwnedSocket> {
    let socket = stream(addr)?;
    listen(socket.as_socket(), addr, None)?;
    Ok(socket)
}

/// Makes a new socket listen. On Unix its address may be in use by connections of the past
/// (`SO_REUSEADDR`), as in std. std asks for a backlog of 128; here it is the system's maximum
/// unless one is given.
pub(crate) fn listen(
    socket: BorrowedSocket<'_>,
    addr: &SocketAddr,
    backlog: Option<u32>,
) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    prepare_listener(&socket)?;
    socket.bind(&SockAddr::from(*addr))?;
    socket.listen(backlog.map_or(BACKLOG_MAX, |backlog| backlog.try_into().unwrap_or(i32::MAX)))
}

/// Makes a TCP socket that can connect to `addr`.
pub(crate) fn stream(addr: &SocketAddr) -> io::Result<OwnedSocket> {
    Ok(new_stream(addr)?.into())
}

/// The outcome of starting a connect.
pub(crate) enum Connecting {
    Done(OwnedSocket),
    UnderWay(OwnedSocket),
}

/// Calls connect(2) on a new socket, without waiting for it.
pub(crate) fn start_connect(addr: &SocketAddr) -> io::Result<Connecting> {
    let socket = new_stream(addr)?;
    match socket.connect(&SockAddr::from(*addr)) {
        Ok(()) => Ok(Connecting::Done(socket.into())),
        Err(error) if is_under_way(&error) => Ok(Connecting::UnderWay(socket.into())),
        Err(error) => Err(error),
    }
}

/// Returns the result of a connect that has ended.
pub(crate) fn connected(socket: BorrowedSocket<'_>) -> io::Result<()> {
    let socket = SockRef::from(&socket);
    match socket.take_error()? {
        Some(error) => Err(error),
        None => socket.peer_addr().map(drop),
    }
}

fn new_stream(addr: &SocketAddr) -> io::Result<Socket> {
    super::new(Domain::for_address(*addr), Type::STREAM, Protocol::TCP)
}

/// Returns `TCP_NODELAY`.
pub(crate) fn nodelay(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).tcp_nodelay()
}

/// Sets `TCP_NODELAY`.
pub(crate) fn set_nodelay(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_nodelay(on)
}

/// Returns `TCP_QUICKACK`.
#[cfg(target_os = "linux")]
pub(crate) fn quickack(socket: BorrowedSocket<'_>) -> io::Result<bool> {
    SockRef::from(&socket).tcp_quickack()
}

/// Sets `TCP_QUICKACK`.
#[cfg(target_os = "linux")]
pub(crate) fn set_quickack(socket: BorrowedSocket<'_>, on: bool) -> io::Result<()> {
    SockRef::from(&socket).set_tcp_quickack(on)
}

/// Returns `SO_KEEPALIVE`: idle time, interval, probes.
pub(crate) fn keepalive(
    socket: BorrowedSocket<'_>,
) -> io::Result<Option<(Duration, Duration, u32)>> {
    let socket = SockRef::from(&socket);
    if !socket.keepalive()? {
        return Ok(None);
    }
    keepalive_times(&socket).map(Some)
}

/// Sets `SO_KEEPALIVE`. Times are rounded up to seconds.
pub(crate) fn set_keepalive(
    socket: BorrowedSocket<'_>,
    values: Option<(Duration, Duration, u32)>,
) -> io::Result<()> {
    let socket = SockRef::from(&socket);
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
