//! Kqueue, event ports, and AFD on Windows, through the `polling` crate.

use std::io;
use std::time::Duration;

use polling::PollMode;

use super::queues::Wanted;
use crate::sys::descriptor::Raw;
use crate::sys::socket::BorrowedSocket;

/// Registrations belong to the number here: each is deleted after its wait.
pub(super) const STAYS: bool = false;

/// Windows cannot report changes alone. So a socket that is ready for good, because of urgent data,
/// makes every wait there return at once.
pub(super) const REPORTS_CHANGES: bool = !cfg!(windows);

/// The system's poller.
pub(in crate::driver) struct Poller(polling::Poller);

/// The events that one wait has found.
pub(super) struct Events(polling::Events);

/// A descriptor that has become ready.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) fd: Raw,
    pub(super) readable: bool,
    pub(super) writable: bool,
}

impl Events {
    pub(super) fn new() -> Events {
        Events(polling::Events::new())
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Event> {
        self.0.iter().map(|event| Event {
            fd: event.key as Raw,
            readable: event.readable,
            writable: event.writable,
        })
    }
}

impl Poller {
    pub(super) fn new() -> io::Result<Poller> {
        Ok(Poller(polling::Poller::new()?))
    }

    /// Makes the registration of `fd` report what is `wanted`, or adds it.
    ///
    /// # Safety
    /// `fd` is open, and stays open until the registration is disarmed.
    pub(super) unsafe fn arm(&self, fd: Raw, wanted: Wanted) -> io::Result<()> {
        let event = polling::Event::new(fd as usize, wanted.readable, wanted.writable);
        let mode = if wanted.only_changes { PollMode::Edge } else { PollMode::Oneshot };
        // SAFETY: the caller's promise.
        match self.0.modify_with_mode(unsafe { BorrowedSocket::borrow_raw(fd) }, event, mode) {
            // SAFETY: the caller's promise.
            Err(error) if error.kind() == io::ErrorKind::NotFound => unsafe {
                self.0.add_with_mode(fd, event, mode)
            },
            other => other,
        }
    }

    /// Removes the registration of `fd`, if it has one.
    ///
    /// # Safety
    /// `fd` is open.
    pub(super) unsafe fn disarm(&self, fd: Raw) {
        // SAFETY: the caller's promise. The call fails if the number names another file by now.
        // Then that file has no registration, and events of the old file find no waiter.
        let _ = self.0.delete(unsafe { BorrowedSocket::borrow_raw(fd) });
    }

    /// Waits until a registration fires, [`notify`](Poller::notify) is called, or `timeout` has
    /// passed; may return early with nothing.
    pub(super) fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        self.0.wait(&mut events.0, timeout).map(drop)
    }

    /// Makes the present or next wait return. Async-signal-safe while polling's feature `tracing`
    /// is off: this library does not enable it. With that feature the notification enters a span,
    /// which is only as safe as the subscriber.
    pub(in crate::driver) fn notify(&self) -> io::Result<()> {
        self.0.notify()
    }
}
