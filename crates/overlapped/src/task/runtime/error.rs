//! The reasons why a run has no result.

use std::fmt;
use std::io;

use crate::sched::DeadlockReport;

/// The reason why a run has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// The calling thread has a scheduler already: use [`scope`](crate::task::scope()) or
    /// [`spawn`](crate::task::spawn()).
    Nested,
    /// The calling thread unwinds: a panic has called this destructor. `thread::panicking` is the
    /// thread's, so it would hold for all tasklets of the run, and none of them could wait: a
    /// tasklet that unwinds never switches.
    Unwinding,
    /// No completion port could be opened; the text says why and what helps.
    Port(io::Error),
    /// The first stack could not be made.
    Stack(io::Error),
    /// A thread could not be started.
    Thread(io::Error),
    /// A variable of the environment has an invalid value, or the signal of
    /// [`Config::dump_on`](super::Config::dump_on) cannot be waited for; the text says which.
    Setting(io::Error),
    /// Tasklets were left that nothing could wake, and none of them waited in a call that could
    /// return that error. They were killed.
    Deadlock(DeadlockReport),
    /// The first tasklet was killed, so there is no result.
    Killed,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RunError::Nested => f.write_str("run inside a run; use scope or spawn"),
            RunError::Unwinding => {
                f.write_str("run while the thread unwinds, where no tasklet could wait")
            }
            RunError::Port(error) => write!(f, "no completion port: {error}"),
            RunError::Stack(error) => write!(f, "no stack: {error}"),
            RunError::Thread(error) => write!(f, "no thread: {error}"),
            RunError::Setting(error) => error.fmt(f),
            RunError::Deadlock(report) => report.fmt(f),
            RunError::Killed => f.write_str("the first tasklet was killed"),
        }
    }
}

impl std::error::Error for RunError {}

impl From<RunError> for io::Error {
    /// Converts the error, for `run(…)?` in functions that return [`io::Result`]. The kind is that
    /// of the error inside (`Port`, `Stack`, `Thread`, `Setting`), `Deadlock`, or `Other`;
    /// [`io::Error::downcast`] gives the `RunError` back.
    fn from(error: RunError) -> io::Error {
        let kind = match &error {
            RunError::Port(error)
            | RunError::Stack(error)
            | RunError::Thread(error)
            | RunError::Setting(error) => error.kind(),
            RunError::Deadlock(_) => io::ErrorKind::Deadlock,
            RunError::Nested | RunError::Unwinding | RunError::Killed => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}
