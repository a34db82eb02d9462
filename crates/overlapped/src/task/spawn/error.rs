//! The errors of spawning, joining and pausing.

use std::fmt;
use std::io;

use crate::sched::{DeadlockReport, here};
use crate::task::suspension::is_cancelled;
use crate::task::{CannotWait, PanicPayload, WaitError};

/// The reason why a tasklet could not be spawned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The caller is not a tasklet: no scheduler runs on this thread. Wrap the program in
    /// [`overlapped::run`](crate::run).
    NoScheduler,
    /// There are as many tasklets as `Config::tasklets_max` allows.
    Limit,
    /// A scoped tasklet must be waited for, or its group is full, and the caller may not wait: it
    /// is unwinding, or inside `no_switch`.
    CannotWait,
    /// The run has ended, or its shutdown has begun.
    Ended,
    /// The stack size is too large: the maximum is 1 TiB.
    StackSize,
    /// It cannot have [thread-locals of its own](super::Builder::own_thread_locals) here, for this
    /// reason.
    OwnThreadLocals(&'static str),
    /// Its group is full, and the wait for a member's end failed.
    Wait(WaitError),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::NoScheduler => {
                "no scheduler runs on this thread; call this inside overlapped::run"
            }
            SpawnError::Limit => "too many tasklets; raise Config::tasklets_max",
            SpawnError::Ended => "the run has ended, or is about to",
            SpawnError::StackSize => "no stack is larger than 1 TiB",
            SpawnError::CannotWait => {
                "a tasklet must be waited for, and the caller may not wait here"
            }
            SpawnError::OwnThreadLocals(why) => {
                return write!(f, "no thread-locals of a tasklet's own: {why}");
            }
            SpawnError::Wait(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SpawnError {}

impl From<SpawnError> for io::Error {
    /// Converts the error, for `Builder::spawn(…)?` in functions that return [`io::Result`]. The
    /// kind is `Unsupported` (`NoScheduler`, `OwnThreadLocals`), `QuotaExceeded` (`Limit`),
    /// `OutOfMemory` (`StackSize`), `WouldBlock` (`CannotWait`), `TimedOut` or `Deadlock` (`Wait`),
    /// or `Other`; [`io::Error::downcast`] gives the `SpawnError` back.
    fn from(error: SpawnError) -> io::Error {
        let kind = match &error {
            SpawnError::NoScheduler | SpawnError::OwnThreadLocals(_) => io::ErrorKind::Unsupported,
            SpawnError::Limit => io::ErrorKind::QuotaExceeded,
            SpawnError::CannotWait | SpawnError::Wait(WaitError::WouldBlock) => {
                io::ErrorKind::WouldBlock
            }
            SpawnError::StackSize => io::ErrorKind::OutOfMemory,
            SpawnError::Wait(WaitError::TimedOut) => io::ErrorKind::TimedOut,
            SpawnError::Wait(WaitError::Deadlock(_)) => io::ErrorKind::Deadlock,
            SpawnError::Wait(WaitError::Empty | WaitError::Cancelled) | SpawnError::Ended => {
                io::ErrorKind::Other
            }
        };
        io::Error::new(kind, error)
    }
}

/// The way in which a tasklet ended, if not by returning; or the reason why the wait for it ended
/// early.
#[derive(Debug)]
#[non_exhaustive]
pub enum JoinError {
    /// Its closure panicked; this is the panic's payload.
    Panicked(PanicPayload),
    /// It was killed.
    Killed,
    /// It never ran, because a stack of its size cannot be made.
    NoStack,
    /// It outlived the grace time of its scheduler's shutdown and was parked for good, or had not
    /// even begun when all time was over: [`Config::grace`](crate::Config::grace).
    Abandoned,
    /// Its result was returned before: the handle was polled as a future to its end.
    Taken,
    /// The tasklet waits for ever, and so would the caller.
    Deadlock(DeadlockReport),
    /// The deadline set by [`timeout`](crate::time::timeout) passed first.
    TimedOut,
    /// A kill of the *caller* came first, inside [`kill_as_error`](crate::task::kill_as_error).
    Cancelled,
    /// It has not ended, and the caller may not wait: inside `no_switch`, while unwinding, or
    /// outside the scheduler.
    WouldBlock,
}

impl JoinError {
    /// Makes the error of a caller that may not wait.
    pub(in crate::task) fn from_cannot_wait(reason: CannotWait) -> JoinError {
        match reason {
            CannotWait::Killed => JoinError::Cancelled,
            CannotWait::Unwinding | CannotWait::NoSwitch => JoinError::WouldBlock,
        }
    }

    /// Makes the error of a caller whose wait was cancelled.
    pub(crate) fn from_cancelled_wait() -> JoinError {
        let is_killed = here().is_some_and(is_cancelled);
        if is_killed { JoinError::Cancelled } else { JoinError::TimedOut }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JoinError::Panicked(payload) => match payload.message() {
                Some(message) => write!(f, "the tasklet panicked: {message}"),
                None => f.write_str("the tasklet panicked"),
            },
            JoinError::Killed => f.write_str("the tasklet was killed"),
            JoinError::NoStack => {
                f.write_str("the system cannot make a stack of the size the tasklet asked for")
            }
            JoinError::Taken => f.write_str("the tasklet's result was returned before"),
            JoinError::Abandoned => f.write_str("the tasklet outlived its scheduler's grace time"),
            JoinError::Deadlock(report) => report.fmt(f),
            JoinError::TimedOut => f.write_str("the deadline passed before the tasklet ended"),
            JoinError::Cancelled => {
                f.write_str("a kill of the caller came before the tasklet ended")
            }
            JoinError::WouldBlock => {
                f.write_str("the tasklet has not ended and the caller may not wait")
            }
        }
    }
}

impl std::error::Error for JoinError {}

impl From<JoinError> for io::Error {
    /// Converts the error, for `tasklet.join()?` in functions that return [`io::Result`]. The kind
    /// is `TimedOut`, `WouldBlock`, `Deadlock`, `OutOfMemory` (`NoStack`), or `Other`;
    /// [`io::Error::downcast`] gives the `JoinError` back, with a panic's payload.
    fn from(error: JoinError) -> io::Error {
        let kind = match error {
            JoinError::TimedOut => io::ErrorKind::TimedOut,
            JoinError::WouldBlock => io::ErrorKind::WouldBlock,
            JoinError::Deadlock(_) => io::ErrorKind::Deadlock,
            JoinError::NoStack => io::ErrorKind::OutOfMemory,
            JoinError::Panicked(_)
            | JoinError::Killed
            | JoinError::Cancelled
            | JoinError::Abandoned
            | JoinError::Taken => io::ErrorKind::Other,
        };
        io::Error::new(kind, error)
    }
}

/// The reason why a tasklet cannot be paused, resumed or switched to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PauseError {
    /// It waits for something, and only that can wake it; or it has no stack yet.
    Blocked,
    /// It has ended.
    Finished,
}

impl fmt::Display for PauseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PauseError::Blocked => "the tasklet waits for something",
            PauseError::Finished => "the tasklet has ended",
        })
    }
}

impl std::error::Error for PauseError {}
