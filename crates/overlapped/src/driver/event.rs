//! How another thread wakes a ring: a message into the ring, or an eventfd that the ring reads.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

/// The wake-up of one ring.
pub(super) struct EventFd {
    fd: OwnedFd,
    /// A duplicate, so that the number is the ring's for as long as a notifier may use it.
    ring: OwnedFd,
    /// Sends the ring a message.
    send: fn(BorrowedFd<'_>) -> io::Result<()>,
    /// The kernel takes messages.
    takes_messages: AtomicBool,
    /// It has been notified, and the ring has not noticed yet.
    pending: AtomicBool,
}

impl EventFd {
    pub(super) fn open(
        ring: BorrowedFd<'_>,
        send: fn(BorrowedFd<'_>) -> io::Result<()>,
        takes_messages: bool,
    ) -> io::Result<EventFd> {
        // Without EFD_NONBLOCK, so that a read in the ring waits on every kernel. A write cannot
        // block: `pending` keeps the counter at 1.
        let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
        let ring = rustix::io::fcntl_dupfd_cloexec(ring, 0)?;
        let (takes_messages, pending) = (AtomicBool::new(takes_messages), AtomicBool::new(false));
        Ok(EventFd { fd, ring, send, takes_messages, pending })
    }

    /// Wakes the ring. Async-signal-safe.
    pub(super) fn notify(&self) -> Result<(), Errno> {
        if self.pending.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        if self.takes_messages.load(Ordering::Relaxed) {
            match (self.send)(self.ring.as_fd()) {
                Ok(()) => return Ok(()),
                // Anything else may work the next time.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    self.takes_messages.store(false, Ordering::Relaxed);
                }
                Err(_) => {}
            }
        }
        loop {
            match rustix::io::write(&self.fd, &1u64.to_ne_bytes()) {
                Err(Errno::INTR) => {}
                written => return written.map(drop),
            }
        }
    }

    /// Notes that the ring has noticed, before it looks at what the senders left.
    pub(super) fn clear(&self) {
        self.pending.swap(false, Ordering::AcqRel);
    }

    pub(super) fn raw(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn a_wake_up_that_does_not_work_is_an_error_and_no_panic() {
        let closed = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        for takes_messages in [false, true] {
            let (fd, ring) = (closed(), closed());
            let takes_messages = AtomicBool::new(takes_messages);
            let send = |_: BorrowedFd<'_>| Err(io::ErrorKind::Other.into());
            let pending = AtomicBool::new(false);
            let event = EventFd { fd, ring, send, takes_messages, pending };
            assert_eq!(event.notify(), Err(Errno::BADF));
        }
    }
}
