//! Sockets that were handed to this process by systemd, or by the old process of a hot restart
//! (sd_listen_fds(3)).
//!
//! | wanted | matches |
//! |---|---|
//! | `fd:NAME` | the sockets with this name |
//! | an address | the sockets that listen there, whatever their names |
//! | port 0 | those of the old process's listener that wanted port 0 of the same host |
//!
//! For the last of these, the old process names its sockets by listener, in order, and the new one
//! takes them in the same order. Sockets with a port that was chosen by the user are never taken
//! for port 0.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Mutex;

use rustix::io::{FdFlags, fcntl_setfd};
use socket2::SockRef;

use crate::locks::IgnorePoison;
use crate::state::Address;

/// The name of the pipe through which the new process tells the old one that it serves.
const READY: &str = "overlapped-ready";

/// The name of sockets that the new process finds by their addresses.
const BY_ADDRESS: &str = "overlapped";

/// The prefix of the names of sockets whose port the system has chosen; the number of the listener
/// follows.
const ANY_PORT: &str = "overlapped-any-";

/// The inherited descriptors that were not taken yet; `None` before the first use. It is a static
/// because descriptors belong to the whole process.
static INHERITED: Mutex<Option<Inherited>> = Mutex::new(None);

type Inherited = Vec<(String, OwnedFd)>;

/// The way in which the new process of a hot restart finds a listener's sockets.
#[derive(Debug)]
pub(crate) enum FoundBy {
    Name(String),
    Address,
    /// By the number of the listener: the system has chosen the port, so the address is not known
    /// beforehand.
    AnyPort,
}

impl FoundBy {
    /// Returns the name for the sockets of the listener with this number.
    pub(crate) fn name(&self, number: usize) -> String {
        match self {
            FoundBy::Name(name) => name.clone(),
            FoundBy::Address => BY_ADDRESS.to_owned(),
            FoundBy::AnyPort => format!("{ANY_PORT}{number}"),
        }
    }
}

/// Calls `f` with the descriptors that were not taken yet.
fn with_inherited<R>(f: impl FnOnce(&mut Inherited) -> R) -> io::Result<R> {
    let mut inherited = INHERITED.lock().ignore_poison();
    if inherited.is_none() {
        *inherited = Some(from_environment()?);
    }
    Ok(f(inherited.get_or_insert_default()))
}

/// Takes the descriptors for which `wanted` returns true.
fn take_matching(wanted: impl Fn(&str, &OwnedFd) -> bool) -> io::Result<Vec<OwnedFd>> {
    with_inherited(|inherited| {
        let taken = inherited.extract_if(.., |(name, socket)| wanted(name, socket));
        taken.map(|(_, socket)| socket).collect()
    })
}

fn from_environment() -> io::Result<Inherited> {
    let found = sd_listen_fds::get().map_err(|_| {
        let text = "LISTEN_FDS or LISTEN_PID is not a number: they are set by systemd or by a \
                    hot restart, for sockets that are handed over; unset them otherwise";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let named = found.into_iter().map(|(name, fd)| {
        let fd = fd.into_std();
        // Child processes, such as scripts, must not inherit the sockets.
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|_| {
            let text = "LISTEN_FDS announces more sockets than were handed over: check the program \
                        that has started this one";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        Ok((name.unwrap_or_default(), fd))
    });
    named.collect()
}

/// Returns the address that a socket is bound to.
pub(super) fn local_address(socket: &OwnedFd) -> io::Result<Address> {
    let address = SockRef::from(socket).local_addr()?;
    match address.as_socket() {
        Some(address) => Ok(Address::Tcp(address)),
        None => Ok(Address::Unix(address.as_pathname().unwrap_or(Path::new("")).to_owned())),
    }
}

/// Takes the sockets that listen on `address`; none, if no such socket was handed over.
pub(super) fn take(address: &Address) -> io::Result<Vec<OwnedFd>> {
    take_matching(|_, socket| local_address(socket).is_ok_and(|local| local == *address))
}

/// Takes the sockets of the first remaining listener that wanted port 0 of this host; none, if
/// there is no such listener.
pub(super) fn take_any_port(host: IpAddr) -> io::Result<Vec<OwnedFd>> {
    let listener = |name: &str, socket: &OwnedFd| {
        let number = name.strip_prefix(ANY_PORT)?.parse::<usize>().ok()?;
        let local = local_address(socket).ok()?.tcp()?;
        (local.ip() == host).then_some(number)
    };
    let first = with_inherited(|inherited| {
        inherited.iter().filter_map(|(name, socket)| listener(name, socket)).min()
    })?;
    match first {
        Some(first) => take_matching(|name, socket| listener(name, socket) == Some(first)),
        None => Ok(Vec::new()),
    }
}

/// Takes the sockets with this name, at least one.
pub(super) fn take_named(name: &str) -> io::Result<Vec<OwnedFd>> {
    let taken = take_matching(|other, _| other == name)?;
    if taken.is_empty() {
        let text = format!(
            "no socket named {name} was handed over: a systemd unit names it with \
             FileDescriptorName={name}; otherwise give an address to listen on"
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(taken)
}

/// Takes the pipe to the old process.
pub(super) fn take_ready() -> io::Result<Vec<OwnedFd>> {
    take_matching(|name, _| name == READY)
}

/// Returns the names of all handed-over descriptors, of which the pipe to the old process is last.
pub(super) fn names(sockets: Vec<String>) -> String {
    sockets.join(":") + ":" + READY
}

/// Closes the descriptors that were not taken: the clients in their queues would wait for ever.
pub(super) fn close_the_rest() {
    for socket in take_matching(|_, _| true).unwrap_or_default() {
        let address =
            local_address(&socket).map_or_else(|_| "?".to_owned(), |local| local.to_string());
        tracing::warn!("a socket was handed over that no listener wants: {address}");
    }
}
