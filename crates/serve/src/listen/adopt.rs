//! Sockets that systemd or a predecessor has handed over (sd_listen_fds(3)).

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::{FdFlags, fcntl_setfd};

use super::Address;
use super::bind::local;

/// What was handed over and has not been asked for yet; `None` before the first look. The
/// descriptors exist once in a process, so this does.
static HANDED: Mutex<Option<Vec<(String, OwnedFd)>>> = Mutex::new(None);

/// Takes those that `wanted` fits.
fn take_those(wanted: impl Fn(&str, &OwnedFd) -> bool) -> io::Result<Vec<OwnedFd>> {
    let mut handed = HANDED.lock().unwrap_or_else(PoisonError::into_inner);
    if handed.is_none() {
        *handed = Some(look()?);
    }
    let left = handed.get_or_insert_default();
    let taken = left.extract_if(.., |(name, socket)| wanted(name, socket));
    Ok(taken.map(|(_, socket)| socket).collect())
}

fn look() -> io::Result<Vec<(String, OwnedFd)>> {
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
