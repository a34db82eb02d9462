//! Listening sockets: binding new ones, and preparing inherited ones.
//!
//! With several threads each has a socket of its own on the same address (`SO_REUSEPORT`), and the
//! kernel distributes the clients. The first socket is bound *without* that option, which is set
//! before it listens. So a second server on the same address still fails, instead of silently
//! taking half of the clients.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::explain::{explain, resolve};
use super::inherit::{self, FoundBy, local_address};
use super::{Listen, Permissions};
use crate::state::Address;

/// The maximum number of clients that may wait to be accepted; `net.core.somaxconn` bounds it.
const BACKLOG: i32 = 4096;

/// The sockets of a listener.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) address: Address,
    /// One socket, or as many as were inherited.
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) found_by: FoundBy,
}

/// Binds the address of `listen`, unless sockets for it were inherited.
pub(crate) fn bind_listener(listen: &Listen) -> io::Result<Bound> {
    let on = &*listen.on;
    if let Some(name) = on.strip_prefix("fd:") {
        let sockets = inherit::take_named(name)?;
        return inherited(sockets, FoundBy::Name(name.to_owned()));
    }
    if let Some(path) = on.strip_prefix("unix:") {
        let address = Address::Unix(PathBuf::from(path));
        return match inherit::take(&address)? {
            sockets if sockets.is_empty() => {
                let socket = unix(Path::new(path)).map_err(|error| explain(&address, &error))?;
                let socket = listen_at(socket, Path::new(path), listen.permissions)?;
                Ok(Bound { address, sockets: vec![socket], found_by: FoundBy::Address })
            }
            sockets => inherited(sockets, FoundBy::Address),
        };
    }
    let all = resolve(on)?;
    let found_by = |wanted: &SocketAddr| match wanted.port() {
        0 => FoundBy::AnyPort,
        _ => FoundBy::Address,
    };
    // All addresses are tried first: the old process listens on the one that it could bind.
    for wanted in &all {
        let handed = match found_by(wanted) {
            FoundBy::AnyPort => inherit::take_any_port(wanted.ip())?,
            _ => inherit::take(&Address::Tcp(*wanted))?,
        };
        if !handed.is_empty() {
            return inherited(handed, found_by(wanted));
        }
    }
    let mut failed = ErrorKind::InvalidInput.into();
    for wanted in &all {
        match tcp(*wanted, false).and_then(|socket| Ok((local_address(&socket)?, socket))) {
            Ok((address, socket)) => {
                return Ok(Bound { address, sockets: vec![socket], found_by: found_by(wanted) });
            }
            Err(error) => failed = explain(&Address::Tcp(*wanted), &error),
        }
    }
    Err(failed)
}

fn inherited(sockets: Vec<OwnedFd>, found_by: FoundBy) -> io::Result<Bound> {
    let address = local_address(&sockets[0])?;
    for socket in &sockets {
        set_options(&SockRef::from(socket), &address)?;
    }
    Ok(Bound { address, sockets, found_by })
}

/// Distributes the sockets over `threads` threads; a thread may get several. New sockets are added
/// to `bound`.
pub(crate) fn shards(bound: &mut Bound, threads: usize) -> io::Result<Vec<Vec<OwnedFd>>> {
    let mut shards: Vec<Vec<OwnedFd>> = (0..threads).map(|_| Vec::new()).collect();
    let existing = bound.sockets.len();
    for (at, socket) in bound.sockets.iter().enumerate() {
        shards[at % threads].push(socket.try_clone()?);
    }
    for (at, shard) in shards.iter_mut().enumerate().skip(existing) {
        // If a queue of its own is impossible, the thread shares one.
        let own = match bound.address {
            Address::Tcp(address) => tcp(address, true).ok(),
            Address::Unix(_) => None,
        };
        match own {
            Some(own) => {
                shard.push(own.try_clone()?);
                bound.sockets.push(own);
            }
            None => shard.push(bound.sockets[at % existing].try_clone()?),
        }
    }
    Ok(shards)
}

/// Creates a socket that is bound and does not listen yet.
pub(super) fn bound_tcp(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = bound_tcp(address, shared)?;
    socket.set_reuse_port(true)?;
    set_options(&SockRef::from(&socket), &Address::Tcp(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Sets the options that accepted sockets inherit, and those that acceptors need.
fn set_options(socket: &SockRef<'_>, address: &Address) -> io::Result<()> {
    if let Address::Tcp(_) = address {
        socket.set_tcp_nodelay(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)
}

/// Creates a socket that is bound to `path` and does not listen yet. Removes a socket that a
/// crashed server has left behind, which refuses connections.
fn unix(path: &Path) -> io::Result<Socket> {
    match unix_at(path) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(ErrorKind::AlreadyExists.into());
            }
            match UnixStream::connect(path) {
                Err(refused) if refused.kind() == ErrorKind::ConnectionRefused => {
                    std::fs::remove_file(path)?;
                    unix_at(path)
                }
                _ => Err(error),
            }
        }
        bound => bound,
    }
}

fn unix_at(path: &Path) -> io::Result<Socket> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    Ok(socket)
}

/// Sets the permissions of a bound socket, and then listens: before, no client can connect.
fn listen_at(socket: Socket, path: &Path, permissions: Permissions) -> io::Result<OwnedFd> {
    let done = set_permissions(path, permissions).and_then(|()| {
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)
    });
    match done {
        Ok(()) => Ok(socket.into()),
        Err(error) => {
            let _ = std::fs::remove_file(path);
            let text = format!(
                "cannot listen on unix:{}: cannot set its mode and its owner: {error}. Only root \
                 may give a socket to another user; other users only to their own groups.",
                path.display()
            );
            Err(io::Error::new(error.kind(), text))
        }
    }
}

fn set_permissions(path: &Path, permissions: Permissions) -> io::Result<()> {
    let Permissions { mode, user, group } = permissions;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::lchown(path, user, group)?;
    }
    match mode {
        Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
        None => Ok(()),
    }
}
