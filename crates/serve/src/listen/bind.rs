//! Binding: sockets that listen, new ones or handed over.
//!
//! With several threads each has a socket of its own on the same address (`SO_REUSEPORT`), and the
//! kernel spreads the clients. The first one is bound *without* that option, which is set before it
//! listens: so a second server on the same address still fails, instead of silently taking half of
//! the clients.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::explain::{explain, resolve};
use super::{Address, Listen, Rights, adopt};

/// Clients that may wait to be accepted; `net.core.somaxconn` bounds it.
const BACKLOG: i32 = 4096;

/// What is listened on.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) address: Address,
    /// One, or as many as a predecessor has handed over.
    pub(crate) sockets: Vec<OwnedFd>,
    pub(crate) found: Found,
}

/// How a successor finds the sockets among those that it is handed over.
#[derive(Debug)]
pub(crate) enum Found {
    ByName(String),
    ByAddress,
    /// The system has chosen the port, so the address says nothing.
    AnyPort,
}

/// Binds what `on` says, unless it was handed over.
pub(crate) fn bind(listen: &Listen) -> io::Result<Bound> {
    let on = &*listen.on;
    if let Some(name) = on.strip_prefix("fd:") {
        let sockets = adopt::take_named(name)?;
        return adopted(sockets, Found::ByName(name.to_owned()));
    }
    if let Some(path) = on.strip_prefix("unix:") {
        let address = Address::Unix(PathBuf::from(path));
        return match adopt::take(&address)? {
            sockets if sockets.is_empty() => {
                let socket = unix(Path::new(path)).map_err(|error| explain(&address, &error))?;
                let socket = begin(socket, Path::new(path), listen.rights)?;
                Ok(Bound { address, sockets: vec![socket], found: Found::ByAddress })
            }
            sockets => adopted(sockets, Found::ByAddress),
        };
    }
    let all = resolve(on)?;
    let found = |wanted: &SocketAddr| match wanted.port() {
        0 => Found::AnyPort,
        _ => Found::ByAddress,
    };
    // All of them first: the predecessor listens on the one that it could bind.
    for wanted in &all {
        let handed = match found(wanted) {
            Found::AnyPort => adopt::take_any_port(wanted.ip())?,
            _ => adopt::take(&Address::Tcp(*wanted))?,
        };
        if !handed.is_empty() {
            return adopted(handed, found(wanted));
        }
    }
    let mut failed = ErrorKind::InvalidInput.into();
    for wanted in &all {
        match tcp(*wanted, false).and_then(|socket| Ok((local(&socket)?, socket))) {
            Ok((address, socket)) => {
                return Ok(Bound { address, sockets: vec![socket], found: found(wanted) });
            }
            Err(error) => failed = explain(&Address::Tcp(*wanted), &error),
        }
    }
    Err(failed)
}

fn adopted(sockets: Vec<OwnedFd>, found: Found) -> io::Result<Bound> {
    let address = local(&sockets[0])?;
    for socket in &sockets {
        ready(&SockRef::from(socket), &address)?;
    }
    Ok(Bound { address, sockets, found })
}

/// Sockets for so many threads; more than one socket may be a thread's. New ones are entered into
/// what is bound.
pub(crate) fn shards(bound: &mut Bound, threads: usize) -> io::Result<Vec<Vec<OwnedFd>>> {
    let mut shards: Vec<Vec<OwnedFd>> = (0..threads).map(|_| Vec::new()).collect();
    let handed = bound.sockets.len();
    for (at, socket) in bound.sockets.iter().enumerate() {
        shards[at % threads].push(socket.try_clone()?);
    }
    for (at, shard) in shards.iter_mut().enumerate().skip(handed) {
        // Where it cannot have a queue of its own, it shares one.
        let own = match bound.address {
            Address::Tcp(address) => tcp(address, true).ok(),
            Address::Unix(_) => None,
        };
        match own {
            Some(own) => {
                shard.push(own.try_clone()?);
                bound.sockets.push(own);
            }
            None => shard.push(bound.sockets[at % handed].try_clone()?),
        }
    }
    Ok(shards)
}

/// The address that a socket is bound to.
pub(super) fn local(socket: &OwnedFd) -> io::Result<Address> {
    let address = SockRef::from(socket).local_addr()?;
    match address.as_socket() {
        Some(address) => Ok(Address::Tcp(address)),
        None => Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned())),
    }
}

/// A socket that is bound and does not listen yet.
pub(super) fn bound(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.bind(&SockAddr::from(address))?;
    Ok(socket)
}

fn tcp(address: SocketAddr, shared: bool) -> io::Result<OwnedFd> {
    let socket = bound(address, shared)?;
    socket.set_reuse_port(true)?;
    ready(&SockRef::from(&socket), &Address::Tcp(address))?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What accepted sockets take over, and what acceptors need.
fn ready(socket: &SockRef<'_>, address: &Address) -> io::Result<()> {
    if let Address::Tcp(_) = address {
        socket.set_tcp_nodelay(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_cloexec(true)
}

/// A socket that is bound to `path`, to which nobody can connect yet. One that a crashed server has
/// left behind is removed: nobody answers there.
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

/// Gives a bound socket its rights, and listens: before, nobody can connect to it.
fn begin(socket: Socket, path: &Path, rights: Rights) -> io::Result<OwnedFd> {
    let done = set_rights(path, rights).and_then(|()| {
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)
    });
    match done {
        Ok(()) => Ok(socket.into()),
        Err(error) => {
            let _ = std::fs::remove_file(path);
            let text = format!(
                "cannot listen on unix:{}: its mode and its owner cannot be set: {error}. Only \
                 root may give a socket to another user; everybody to a group of one's own.",
                path.display()
            );
            Err(io::Error::new(error.kind(), text))
        }
    }
}

fn set_rights(path: &Path, rights: Rights) -> io::Result<()> {
    let Rights { mode, user, group } = rights;
    if user.is_some() || group.is_some() {
        std::os::unix::fs::lchown(path, user, group)?;
    }
    match mode {
        Some(mode) => std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)),
        None => Ok(()),
    }
}
