//! Sockets that systemd or a predecessor has handed over (sd_listen_fds(3)).
//!
//! | asked for | what fits |
//! |---|---|
//! | `fd:NAME` | what has this name |
//! | an address | what listens there, whatever its name |
//! | port 0 | what a predecessor's listener has that was asked for port 0 of the same host |
//!
//! For the last of these, a predecessor tells by the names which sockets are one listener's, and
//! which listener came first: a successor asks in the same order. Sockets of a port that somebody
//! chose are not for those who want any.

use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_setfd};

use super::Address;
use super::bind::{Bound, Found, local};

/// The name of the pipe through which a predecessor hears that its successor serves.
pub(super) const READY: &str = "overlapped-ready";

/// The name of sockets that are found by their addresses.
const BY_ADDRESS: &str = "overlapped";

/// How names begin of those for whom the system has chosen a port; the number of their listener
/// follows.
const ANY_PORT: &str = "overlapped-any-";

/// What was handed over and has not been asked for yet; `None` before the first look. The
/// descriptors exist once in a process, so this does.
static HANDED: Mutex<Option<Handed>> = Mutex::new(None);

type Handed = Vec<(String, OwnedFd)>;

/// What is left of them.
fn with_left<R>(f: impl FnOnce(&mut Handed) -> R) -> io::Result<R> {
    let mut handed = HANDED.lock().unwrap_or_else(PoisonError::into_inner);
    if handed.is_none() {
        *handed = Some(look()?);
    }
    Ok(f(handed.get_or_insert_default()))
}

/// Takes those that `wanted` fits.
fn take_those(wanted: impl Fn(&str, &OwnedFd) -> bool) -> io::Result<Vec<OwnedFd>> {
    with_left(|left| {
        let taken = left.extract_if(.., |(name, socket)| wanted(name, socket));
        taken.map(|(_, socket)| socket).collect()
    })
}

fn look() -> io::Result<Handed> {
    let handed = sd_listen_fds::get().map_err(|_| {
        let text = "LISTEN_FDS or LISTEN_PID is not a number: they are set by systemd or by a \
                    predecessor, for sockets that are handed over; unset them otherwise";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })?;
    let named = handed.into_iter().map(|(name, fd)| {
        let fd = fd.into_std();
        // Children have no business with them.
        fcntl_setfd(&fd, FdFlags::CLOEXEC).map_err(|_| {
            let text = "LISTEN_FDS promises sockets that are not open: whoever started this \
                        program has set it, and handed over fewer";
            io::Error::new(io::ErrorKind::InvalidInput, text)
        })?;
        Ok((name.unwrap_or_default(), fd))
    });
    named.collect()
}

/// Those that listen on this address. None: nothing of the kind was handed over.
pub(super) fn take(address: &Address) -> io::Result<Vec<OwnedFd>> {
    take_those(|_, socket| local(socket).is_ok_and(|local| local == *address))
}

/// Those of the first listener that was asked for any port of this host. None: nothing of the kind
/// was handed over, or all of it is taken.
pub(super) fn take_any_port(host: IpAddr) -> io::Result<Vec<OwnedFd>> {
    let listener = |name: &str, socket: &OwnedFd| {
        let number = name.strip_prefix(ANY_PORT)?.parse::<usize>().ok()?;
        let is_there = local(socket).is_ok_and(|local| local.tcp().is_some_and(|a| a.ip() == host));
        is_there.then_some(number)
    };
    let first =
        with_left(|left| left.iter().filter_map(|(name, socket)| listener(name, socket)).min())?;
    match first {
        Some(first) => take_those(|name, socket| listener(name, socket) == Some(first)),
        None => Ok(Vec::new()),
    }
}

/// By which name a successor finds the sockets of its predecessor's listener of this number.
pub(crate) fn name(bound: &Bound, number: usize) -> String {
    match &bound.found {
        Found::ByName(name) => name.clone(),
        Found::ByAddress => BY_ADDRESS.to_owned(),
        Found::AnyPort => format!("{ANY_PORT}{number}"),
    }
}

/// Those of this name; at least one.
pub(super) fn take_named(name: &str) -> io::Result<Vec<OwnedFd>> {
    let taken = take_those(|theirs, _| theirs == name)?;
    if taken.is_empty() {
        let text = format!(
            "no socket called {name} was handed over: in a systemd unit that is \
             FileDescriptorName={name}; else give an address to listen on"
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    Ok(taken)
}

/// The pipe of a predecessor.
pub(super) fn take_ready() -> io::Result<Vec<OwnedFd>> {
    take_those(|name, _| name == READY)
}

/// Closes what nobody has asked for: its clients would wait for ever.
pub(super) fn close_the_rest() {
    for socket in take_those(|_, _| true).unwrap_or_default() {
        let address = local(&socket).map_or_else(|_| "?".to_owned(), |local| local.to_string());
        tracing::warn!("a socket was handed over that nobody listens on: {address}");
    }
}
