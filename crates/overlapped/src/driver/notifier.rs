//! Notifiers: they end a driver's wait from another thread.
//!
//! A notification is a flag, not a count: while one is pending, further ones do nothing, so a busy
//! sender costs one system call per wake-up of the receiver. The receiver clears the flag *before*
//! it reads messages; a sender leaves its message *before* it notifies. So either the receiver sees
//! the message, or the sender sees the cleared flag and notifies again.
//!
//! A notifier may outlive its port. Then it wakes nothing, and must keep nothing of the port open.
//! So it is a weak reference: the port has the only strong one, apart from threads that are just
//! notifying it.

use std::fmt;
use std::sync::{Arc, Weak};

#[cfg(miri)]
use super::null;
use super::poll::Poller;
#[cfg(target_os = "linux")]
use super::uring::EventFd;
use crate::sys::terminal::write_to_stderr;

/// A handle that ends a port's `wait` early, from any thread. Clones wake the same port.
#[derive(Clone)]
pub struct Notifier(Kind);

#[derive(Clone)]
enum Kind {
    #[cfg(target_os = "linux")]
    Event(Weak<EventFd>),
    Poller(Weak<Poller>),
    #[cfg(miri)]
    Null(Weak<null::Wake>),
}

impl Notifier {
    #[cfg(target_os = "linux")]
    pub(super) fn from_event(event: &Arc<EventFd>) -> Notifier {
        Notifier(Kind::Event(Arc::downgrade(event)))
    }

    pub(super) fn from_poller(poller: &Arc<Poller>) -> Notifier {
        Notifier(Kind::Poller(Arc::downgrade(poller)))
    }

    #[cfg(miri)]
    pub(super) fn from_wake(wake: &Arc<null::Wake>) -> Notifier {
        Notifier(Kind::Null(Arc::downgrade(wake)))
    }

    /// Makes the port's present or next `wait` return.
    ///
    /// Async-signal-safe: atomic operations and one or two system calls, which may change errno.
    /// It neither allocates nor panics; what it drops is not the last reference, as long as the
    /// port is there.
    ///
    /// Ends the process if the port's own descriptor does not work any more, because other code
    /// has closed it, for instance: the port might sleep for ever.
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
            Kind::Null(wake) => {
                if let Some(wake) = wake.upgrade() {
                    wake.notify();
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
    // An error cannot be reported in any other way.
    write_to_stderr(TEXT);
    std::process::abort()
}

impl fmt::Debug for Notifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notifier").finish_non_exhaustive()
    }
}
