//! Waits that transfer nothing, by what they wait for.
//!
//! On Unix each of them is the readiness of a descriptor. A system without readiness answers most
//! of them in its own way: the end of a process, say, by a wait for its handle.

use crate::sys::descriptor::Raw;
use crate::sys::readiness::Interest;

/// A wait for an event. Result 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    /// A descriptor has something to read, or is at its end, or has an error.
    Readable { fd: Raw },
    /// A descriptor has room to write, or an error.
    Writable { fd: Raw },
    /// A process has ended.
    #[cfg(unix)]
    ProcessEnd { process: Raw },
    /// A signal has come for a [`Listener`](crate::sys::signal::Listener).
    #[cfg(unix)]
    Signal { listener: Raw },
    /// One of the output streams of a child has something to read, or is at its end.
    #[cfg(unix)]
    Output { streams: Raw },
    /// One of several connects has ended.
    Connected { sockets: Raw },
}

impl Wait {
    /// Returns a short name for dumps and deadlock reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Wait::Readable { .. } => "readable",
            Wait::Writable { .. } => "writable",
            #[cfg(unix)]
            Wait::ProcessEnd { .. } => "process end",
            #[cfg(unix)]
            Wait::Signal { .. } => "signal",
            #[cfg(unix)]
            Wait::Output { .. } => "output",
            Wait::Connected { .. } => "connect",
        }
    }

    /// Returns the descriptor by which the system reports the event.
    pub(crate) fn fd(&self) -> Raw {
        match *self {
            Wait::Readable { fd } | Wait::Writable { fd } => fd,
            #[cfg(unix)]
            Wait::ProcessEnd { process } => process,
            #[cfg(unix)]
            Wait::Signal { listener } => listener,
            #[cfg(unix)]
            Wait::Output { streams } => streams,
            Wait::Connected { sockets } => sockets,
        }
    }

    /// Returns the readiness of [`fd`](Wait::fd) that is the event.
    pub(crate) fn interest(&self) -> Interest {
        match self {
            Wait::Writable { .. } => Interest::Writable,
            Wait::Readable { .. } | Wait::Connected { .. } => Interest::Readable,
            #[cfg(unix)]
            Wait::ProcessEnd { .. } | Wait::Signal { .. } | Wait::Output { .. } => {
                Interest::Readable
            }
        }
    }
}
