//! Sockets that are connecting, watched together: not yet. Callers try one address after the other.

use std::io;

use super::super::descriptor::Raw;
use super::OwnedSocket;

/// A set of sockets that are connecting. There is none.
pub(crate) enum Watch {}

impl Watch {
    /// Returns an error: a poller is no socket here, so another poller cannot wait for it.
    pub(crate) fn new() -> io::Result<Watch> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Returns the number by which the set is waited for.
    pub(crate) fn raw(&self) -> Raw {
        match *self {}
    }

    /// Tells whether no socket is connecting.
    pub(crate) fn is_empty(&self) -> bool {
        match *self {}
    }

    /// Adds a socket that is connecting.
    pub(crate) fn add(&mut self, _key: usize, _socket: OwnedSocket) -> io::Result<()> {
        match *self {}
    }

    /// Takes out the sockets whose connects have ended.
    pub(crate) fn ended(&mut self) -> io::Result<Vec<(usize, OwnedSocket)>> {
        match *self {}
    }
}
