//! The errors of sends and receives.

use std::fmt;
use std::io;

use crate::sched::DeadlockReport;

/// The reason why a value was not sent. The value comes back.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The channel is closing, and no receiver waits.
    Closed(T),
    /// The time limit, or the deadline set by `timeout`, passed first.
    TimedOut(T),
    /// A kill of the caller came first, inside [`kill_as_error`](crate::task::kill_as_error).
    Cancelled(T),
    /// No tasklet is left that could ever receive.
    Deadlock(T, DeadlockReport),
    /// No receiver waits, and the caller may not wait: in a `try_send`, inside `no_switch`, or
    /// while unwinding.
    WouldBlock(T),
}

impl<T> SendError<T> {
    /// Returns the value that was not sent.
    pub fn into_inner(self) -> T {
        match self {
            SendError::Closed(value)
            | SendError::TimedOut(value)
            | SendError::Cancelled(value)
            | SendError::Deadlock(value, _)
            | SendError::WouldBlock(value) => value,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            SendError::Closed(_) => "Closed",
            SendError::TimedOut(_) => "TimedOut",
            SendError::Cancelled(_) => "Cancelled",
            SendError::Deadlock(..) => "Deadlock",
            SendError::WouldBlock(_) => "WouldBlock",
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}(..)", self.name())
    }
}

impl<T> fmt::Display for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SendError::Closed(_) => "sending on a closing channel",
            SendError::TimedOut(_) => "the deadline passed before a receiver took the value",
            SendError::Cancelled(_) => "a kill of the caller came before a receiver took the value",
            SendError::Deadlock(_, report) => return report.fmt(f),
            SendError::WouldBlock(_) => "no receiver waits, and the caller may not wait",
        })
    }
}

impl<T> std::error::Error for SendError<T> {}

/// The reason why no value was received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The channel is closing, and no sender waits.
    Closed,
    /// The time limit, or the deadline set by `timeout`, passed first.
    TimedOut,
    /// A kill of the caller came first, inside [`kill_as_error`](crate::task::kill_as_error).
    Cancelled,
    /// No tasklet is left that could ever send: receiving without a sender.
    Deadlock(DeadlockReport),
    /// No sender waits, and the caller may not wait: in a `try_recv`, inside `no_switch`, or while
    /// unwinding.
    WouldBlock,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Closed => "receiving on a closing channel",
            RecvError::TimedOut => "the deadline passed before a value was sent",
            RecvError::Cancelled => "a kill of the caller came before a value was sent",
            RecvError::Deadlock(report) => return report.fmt(f),
            RecvError::WouldBlock => "no sender waits, and the caller may not wait",
        })
    }
}

impl std::error::Error for RecvError {}

impl From<RecvError> for io::Error {
    /// Converts the error, for `channel.recv()?` in functions that return [`io::Result`]. The kind
    /// is `BrokenPipe` (`Closed`), `TimedOut`, `Deadlock`, `WouldBlock` or `Other`;
    /// [`io::Error::downcast`] gives the `RecvError` back.
    fn from(error: RecvError) -> io::Error {
        let kind = match error {
            RecvError::Closed => io::ErrorKind::BrokenPipe,
            RecvError::TimedOut => io::ErrorKind::TimedOut,
            RecvError::Deadlock(_) => io::ErrorKind::Deadlock,
            RecvError::WouldBlock => io::ErrorKind::WouldBlock,
            RecvError::Cancelled => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
