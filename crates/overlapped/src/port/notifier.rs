//! Ends a wait from another thread.
//!
//! A notification is a flag, not a count: while one is pending, further ones do nothing, so a
//! busy sender costs one system call per wake-up of the receiver. The receiver clears the flag
//! *before* it looks at what the senders left for it; a sender leaves it *before* it notifies. So
//! either the receiver sees it, or the sender sees the cleared flag and notifies again.
//!
//! A notifier may outlive its port; it then wakes nobody.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// A handle that ends a port's `wait` early, from any thread. Clones wake the same port.
#[derive(Clone)]
pub struct Notifier(Kind);

#[derive(Clone)]
enum Kind {
    Event(Arc<EventFd>),
    Poller(Arc<polling::Poller>),
}

impl Notifier {
    pub(super) fn of_event(event: Arc<EventFd>) -> Notifier {
        Notifier(Kind::Event(event))
    }

    pub(super) fn of_poller(poller: Arc<polling::Poller>) -> Notifier {
        Notifier(Kind::Poller(poller))
    }

    /// Makes the port's present or next `wait` return.
    pub fn notify(&self) {
        match &self.0 {
            Kind::Event(event) => event.notify(),
            // It fails for want of a working eventfd or pipe, which opening the poller checked.
            Kind::Poller(poller) => poller.notify().expect("the poller's own descriptor works"),
        }
    }
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

/// An eventfd and whether it has been written to since it was last read.
pub(super) struct EventFd {
    fd: OwnedFd,
    pending: AtomicBool,
}

impl EventFd {
    pub(super) fn open() -> io::Result<EventFd> {
        // Without EFD_NONBLOCK, so that a read in the ring waits on every kernel. A write cannot
        // block: `pending` keeps the counter at 1.
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        Ok(EventFd { fd, pending: AtomicBool::new(false) })
    }

    fn notify(&self) {
        if self.pending.swap(true, Ordering::AcqRel) {
            return;
        }
        while let Err(error) = rustix::io::write(&self.fd, &1u64.to_ne_bytes()) {
            assert_eq!(error, rustix::io::Errno::INTR, "the port's own eventfd works");
        }
    }

    /// Called when the counter has been read, before looking at what the senders left.
    pub(super) fn clear(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }

    pub(super) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}
