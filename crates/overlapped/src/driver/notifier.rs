//! Ends a wait from another thread.
//!
//! A notification is a flag, not a count: while one is pending, further ones do nothing, so a
//! busy sender costs one system call per wake-up of the receiver. The receiver clears the flag
//! *before* it looks at what the senders left for it; a sender leaves it *before* it notifies. So
//! either the receiver sees it, or the sender sees the cleared flag and notifies again.
//!
//! A notifier may outlive its port; it then wakes nobody, and keeps nothing of it open. So it is a
//! weak reference: the port has the only strong one, apart from those who are just notifying it.

use std::fmt;
use std::sync::{Arc, Weak};

#[cfg(target_os = "linux")]
pub(super) use event::EventFd;

/// A handle that ends a port's `wait` early, from any thread. Clones wake the same port.
#[derive(Clone)]
pub struct Notifier(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(target_os = "linux")]
    Event(Weak<EventFd>),
    Poller(Weak<crate::driver::poll::Poller>),
    #[cfg(miri)]
    Bell(Weak<crate::driver::null::Bell>),
}

impl Notifier {
    #[cfg(target_os = "linux")]
    pub(super) fn of_event(event: &Arc<EventFd>) -> Notifier {
        Notifier(Kind::Event(Arc::downgrade(event)))
    }

    pub(super) fn of_poller(poller: &Arc<crate::driver::poll::Poller>) -> Notifier {
        Notifier(Kind::Poller(Arc::downgrade(poller)))
    }

    #[cfg(miri)]
    pub(super) fn of_bell(bell: &Arc<crate::driver::null::Bell>) -> Notifier {
        Notifier(Kind::Bell(Arc::downgrade(bell)))
    }

    /// Makes the port's present or next `wait` return.
    ///
    /// Async-signal-safe: atomic operations and one or two system calls, which may change errno.
    /// It neither allocates nor panics; what it drops is not the last reference, as long as the
    /// port is there.
    ///
    /// Ends the process where the port's own descriptor does not work any more, closed by somebody
    /// else for instance: the port might sleep for ever.
    pub fn notify(&self) {
        match &self.0 {
            #[cfg(target_os = "linux")]
            Kind::Event(event) => {
                if let Some(event) = event.upgrade()
                    && event.notify().is_err()
                {
                    give_up();
                }
            }
            Kind::Poller(poller) => {
                if let Some(poller) = poller.upgrade()
                    && poller.notify().is_err()
                {
                    give_up();
                }
            }
            #[cfg(miri)]
            Kind::Bell(bell) => {
                if let Some(bell) = bell.upgrade() {
                    bell.ring();
                }
            }
        }
    }
}

/// Ends the process: async-signal-safe, as a panic is not.
#[cold]
fn give_up() -> ! {
    const TEXT: &[u8] = b"overlapped: a completion port cannot be notified, since its own \
        descriptor does not work any more: was it closed? aborting\n";
    // Nobody could be told of an error.
    let _ = rustix::io::write(std::io::stderr(), TEXT); // Its number: nothing is locked.
    std::process::abort()
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
mod event {
    use std::io;
    use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::event::{EventfdFlags, eventfd};
    use rustix::io::Errno;

    use crate::driver::uring::{RUNG, send_message};

    /// A ring's bell: a message into the ring, or an eventfd that the ring reads.
    pub(in crate::driver) struct EventFd {
        fd: OwnedFd,
        /// A duplicate, so that the number is the ring's for as long as anybody may ring.
        ring: OwnedFd,
        /// Whether the kernel takes messages.
        takes_messages: AtomicBool,
        /// It has been rung, and the ring has not noticed yet.
        pending: AtomicBool,
    }

    impl EventFd {
        pub(in crate::driver) fn open(
            ring: BorrowedFd<'_>,
            takes_messages: bool,
        ) -> io::Result<EventFd> {
            // Without EFD_NONBLOCK, so that a read in the ring waits on every kernel. A write cannot
            // block: `pending` keeps the counter at 1.
            let fd = eventfd(0, EventfdFlags::CLOEXEC)?;
            let ring = rustix::io::fcntl_dupfd_cloexec(ring, 0)?;
            let (takes_messages, pending) =
                (AtomicBool::new(takes_messages), AtomicBool::new(false));
            Ok(EventFd { fd, ring, takes_messages, pending })
        }

        /// Rings it. Async-signal-safe.
        pub(in crate::driver) fn notify(&self) -> Result<(), Errno> {
            if self.pending.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            if self.takes_messages.load(Ordering::Relaxed) {
                match send_message(self.ring.as_fd(), RUNG) {
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

        /// Called when the counter has been read, before looking at what the senders left.
        pub(in crate::driver) fn clear(&self) {
            self.pending.swap(false, Ordering::AcqRel);
        }

        pub(in crate::driver) fn raw(&self) -> RawFd {
            self.fd.as_raw_fd()
        }
    }

    #[cfg(all(test, not(miri)))]
    mod tests {
        use super::*;

        #[test]
        fn a_bell_that_does_not_work_is_an_error_and_no_panic() {
            let closed = || OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
            for takes_messages in [false, true] {
                let (fd, ring) = (closed(), closed());
                let takes_messages = AtomicBool::new(takes_messages);
                let event = EventFd { fd, ring, takes_messages, pending: AtomicBool::new(false) };
                assert_eq!(event.notify(), Err(Errno::BADF));
            }
        }
    }
}
