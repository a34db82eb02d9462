//! The errors of waits for one of several events.

use std::fmt;
use std::io;

use crate::sched::DeadlockReport;

/// The reason why a wait for one of several events ended with none of them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WaitError {
    /// The time limit, or the deadline set by [`timeout`](crate::time::timeout), passed first.
    TimedOut,
    /// A kill of the caller came first, inside [`kill_as_error`](crate::task::kill_as_error).
    Cancelled,
    /// Nothing is left that could make one of them happen.
    Deadlock(DeadlockReport),
    /// None of them can happen now, and the caller may not wait: in a `try_wait`, inside
    /// `no_switch`, or while unwinding.
    WouldBlock,
    /// There is nothing to wait for: no alternative, or none that takes part.
    Empty,
}

impl fmt::Display for WaitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            WaitError::TimedOut => "the deadline passed before anything happened",
            WaitError::Cancelled => "a kill of the caller came before anything happened",
            WaitError::Deadlock(report) => return report.fmt(f),
            WaitError::WouldBlock => "nothing can happen now, and the caller may not wait",
            WaitError::Empty => "there is nothing to wait for",
        })
    }
}

impl std::error::Error for WaitError {}

impl From<WaitError> for io::Error {
    /// Converts the error, for `select.wait()?` in functions that return [`io::Result`]. The kind
    /// is `TimedOut`, `Deadlock`, `WouldBlock`, `InvalidInput` (`Empty`) or `Other`;
    /// [`io::Error::downcast`] gives the `WaitError` back.
    fn from(error: WaitError) -> io::Error {
        let kind = match error {
            WaitError::TimedOut => io::ErrorKind::TimedOut,
            WaitError::Deadlock(_) => io::ErrorKind::Deadlock,
            WaitError::WouldBlock => io::ErrorKind::WouldBlock,
            WaitError::Empty => io::ErrorKind::InvalidInput,
            WaitError::Cancelled => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
