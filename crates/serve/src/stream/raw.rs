//! The bytes of a socket, after those that were read too early.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use super::{Link, Socket};

/// A socket, and what was read of it beyond a PROXY header.
#[derive(Debug)]
pub(crate) struct Raw {
    pub(crate) link: Rc<Link>,
    early: RefCell<Vec<u8>>,
}

impl Raw {
    pub(crate) fn new(link: Rc<Link>) -> Raw {
        Raw { link, early: RefCell::default() }
    }

    /// These come first.
    pub(crate) fn give_back(&self, early: Vec<u8>) {
        self.early.replace(early);
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.link.socket
    }

    pub(crate) fn read(&self, buf: &mut [u8]) -> io::Result<usize> {
        let mut early = self.early.borrow_mut();
        if early.is_empty() {
            drop(early);
            return self.socket().read(buf);
        }
        let count = early.len().min(buf.len());
        buf[..count].copy_from_slice(&early[..count]);
        if count == early.len() {
            *early = Vec::new();
        } else {
            early.drain(..count);
        }
        Ok(count)
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket().write(bytes)
    }
}
