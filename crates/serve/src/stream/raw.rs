//! The bytes of a socket, after those that were read too early.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

use overlapped::net::wait_writable;
use overlapped::time::{Duration, expired, timeout};
use rustix::net::SendFlags;

use super::link::Progress;
use super::{Link, Socket, is_late};
use crate::session::Pace;

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
            let read = self.socket().read(buf)?;
            if self.link.progress.get() == Progress::New {
                self.link.progress.set(Progress::Greeting);
            }
            return Ok(read);
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

    /// Sends some of it, at the client's pace.
    pub(crate) fn write(&self, bytes: &[u8], pace: &mut Pace) -> io::Result<usize> {
        let sent = self.at_pace(pace, || self.socket().write(bytes))?;
        self.link.add_sent(sent);
        // Nearly always all of it, at once: nobody need look at the clock, or at the queue.
        if sent < bytes.len() {
            pace.go_on(self.link.newly_taken(), Duration::ZERO);
        } else if pace.is_waiting() {
            pace.end_wait(self.link.newly_taken());
        }
        Ok(sent)
    }

    /// Sends as much as need not wait; see [`Socket::send_at_once`].
    pub(crate) fn send_at_once(&self, bytes: &[u8], flags: SendFlags) -> usize {
        let sent = self.socket().send_at_once(bytes, flags);
        self.link.add_sent(sent);
        sent
    }

    /// Waits until there is room to write, at the client's pace.
    pub(crate) fn await_room(&self, pace: &mut Pace) -> io::Result<()> {
        pace.begin_wait();
        self.at_pace(pace, || wait_writable(self.socket()))?;
        pace.end_wait(self.link.newly_taken());
        Ok(())
    }

    /// Waits in slices, for as long as the client moves what is under way.
    fn at_pace<T>(&self, pace: &mut Pace, wait: impl Fn() -> io::Result<T>) -> io::Result<T> {
        loop {
            let slice = pace.slice();
            match timeout(slice, &wait) {
                Err(error) if is_late(&error) => {
                    pace.go_on(self.link.newly_taken(), slice);
                    if pace.is_over() || expired() {
                        return Err(error);
                    }
                }
                done => return done,
            }
        }
    }
}
