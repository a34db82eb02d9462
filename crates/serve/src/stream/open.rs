//! The open sockets of a thread, for code that ends sessions from outside.

use std::cell::RefCell;
use std::rc::Rc;

use slab::Slab;

use super::Socket;

/// The list of the sockets that are open on a thread.
#[derive(Debug, Default)]
pub(crate) struct OpenSockets {
    list: RefCell<Slab<Rc<Socket>>>,
}

impl OpenSockets {
    /// Enters a socket, until the returned entry is dropped.
    pub(crate) fn enter(self: &Rc<OpenSockets>, socket: &Rc<Socket>) -> OpenSocket {
        let key = self.list.borrow_mut().insert(Rc::clone(socket));
        OpenSocket { sockets: Rc::clone(self), key }
    }

    /// Returns all open sockets.
    pub(crate) fn all(&self) -> Vec<Rc<Socket>> {
        self.list.borrow().iter().map(|(_, socket)| Rc::clone(socket)).collect()
    }
}

/// An entry of [`OpenSockets`]; dropping it removes it.
#[derive(Debug)]
pub(crate) struct OpenSocket {
    sockets: Rc<OpenSockets>,
    key: usize,
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        drop(self.sockets.list.borrow_mut().remove(self.key));
    }
}
