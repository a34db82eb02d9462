//! Waits that transfer nothing, by what they wait for.
//!
//! On Unix each of them is the readiness of a descriptor. A system without readiness answers most
//! of them in its own way: the end of a process, say, by a wait for its handle.

use crate::sys::descriptor::Raw;
#[cfg(unix)]
use crate::sys::readiness::Interest;

/// A wait for an event. Result 0.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Wait {
    /// A descriptor has something to read, or is at its end, or has an error.
    #[cfg(unix)]
    Readable { fd: Raw },
    /// A descriptor has room to write, or an error.
    #[cfg(unix)]
    Writable { fd: Raw },
    /// A process has ended.
    ProcessEnd { process: Raw },
    /// A signal has come for a [`Listener`](crate::sys::signal::Listener).
    Signal { listener: Raw },
    /// One of the output streams of a child has something to read, or is at its end.
    Output { streams: Raw },
    /// One of several connects has ended.
    Connected { sockets: Raw },
}

impl Wait {
    /// Returns a short name for dumps and deadlock reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            #[cfg(unix)]
            Wait::Readable { .. } => "readable",
            #[cfg(unix)]
            Wait::Writable { .. } => "writable",
            Wait::ProcessEnd { .. } => "process end",
            Wait::Signal { .. } => "signal",
            Wait::Output { .. } => "output",
            Wait::Connected { .. } => "connect",
        }
    }

    /// Returns the descriptor by which the system reports the event.
    pub(crate) fn fd(&self) -> Raw {
        match *self {
            #[cfg(unix)]
            Wait::Readable { fd } | Wait::Writable { fd } => fd,
            Wait::ProcessEnd { process } => process,
            Wait::Signal { listener } => listener,
            Wait::Output { streams } => streams,
            Wait::Connected { sockets } => sockets,
        }
    }

    /// Returns the readiness of [`fd`](Wait::fd) that is the event.
    #[cfg(unix)]
    pub(crate) fn interest(&self) -> Interest {
        match self {
            Wait::Writable { .. } => Interest::Writable,
            Wait::Readable { .. }
            | Wait::ProcessEnd { .. }
            | Wait::Signal { .. }
            | Wait::Output { .. }
            | Wait::Connected { .. } => Interest::Readable,
        }
    }
}
