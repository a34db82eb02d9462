//! Advisory locks on whole files (flock(2)), as std has them.
//!
//! The wait for a lock that is held may last for ever, so a thread of its own makes the call. A
//! kill interrupts the call; if the lock was granted at that very moment, the tasklet has it. A
//! lock that is granted to a tasklet that was abandoned at the end of the grace time is released.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::File;
use crate::sys::file;
use crate::sys::file::nonblocking::{Lock, try_lock};
use crate::task::blocking::{in_place, on_interruptible_thread};
use crate::task::count_busy_call;

/// The error of a lock that was not taken; the counterpart of `std::fs::TryLockError`.
pub enum TryLockError {
    /// The system's error.
    Error(io::Error),
    /// Another holder has a lock that excludes it.
    WouldBlock,
}

impl fmt::Debug for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TryLockError::Error(error) => error.fmt(f),
            TryLockError::WouldBlock => f.write_str("WouldBlock"),
        }
    }
}

impl fmt::Display for TryLockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TryLockError::Error(_) => "lock acquisition failed due to I/O error",
            TryLockError::WouldBlock => "lock acquisition failed because the operation would block",
        })
    }
}

impl std::error::Error for TryLockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            TryLockError::Error(error) => Some(error),
            TryLockError::WouldBlock => None,
        }
    }
}

impl From<TryLockError> for io::Error {
    fn from(error: TryLockError) -> io::Error {
        match error {
            TryLockError::Error(error) => error,
            TryLockError::WouldBlock => io::ErrorKind::WouldBlock.into(),
        }
    }
}

/// A lock that was granted, and is released unless the waiter takes it.
struct Granted(Option<Arc<OwnedFd>>);

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(fd) = &self.0 {
            let _ = try_lock(fd.as_fd(), Lock::None);
        }
    }
}

/// Counts a try in vain: a caller that tries again and again lets the holder run.
fn count_try(result: Result<(), TryLockError>) -> Result<(), TryLockError> {
    if matches!(result, Err(TryLockError::WouldBlock)) {
        count_busy_call();
    }
    result
}

impl File {
    /// Takes the exclusive lock. Waits for it, which blocks only the calling tasklet.
    ///
    /// # Errors
    /// Those of flock(2); `TimedOut` at the deadline set by [`timeout`](crate::time::timeout).
    pub fn lock(&self) -> io::Result<()> {
        self.take(Lock::Exclusive)
    }

    /// Takes a shared lock. Waits for it, which blocks only the calling tasklet.
    ///
    /// # Errors
    /// As [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        self.take(Lock::Shared)
    }

    /// Takes the exclusive lock, unless another holder has a lock.
    ///
    /// # Errors
    /// [`TryLockError`] says why.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        count_try(self.take_now(Lock::Exclusive))
    }

    /// Takes a shared lock, unless another holder has the exclusive lock.
    ///
    /// # Errors
    /// [`TryLockError`] says why.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        count_try(self.take_now(Lock::Shared))
    }

    /// Releases the lock. Closing the last clone does, too.
    ///
    /// # Errors
    /// Those of flock(2).
    pub fn unlock(&self) -> io::Result<()> {
        try_lock(self.as_fd(), Lock::None)
    }

    fn take_now(&self, how: Lock) -> Result<(), TryLockError> {
        try_lock(self.as_fd(), how).map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => TryLockError::WouldBlock,
            _ => TryLockError::Error(error),
        })
    }

    fn take(&self, how: Lock) -> io::Result<()> {
        match in_place(|| self.take_now(how))? {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {}
        }
        let fd = Arc::clone(&self.fd);
        let granted = on_interruptible_thread("the lock of a file", move |interruptible| {
            file::lock(&fd, how, interruptible)?;
            Ok(Granted(Some(fd)))
        });
        let mut granted = granted.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        granted.0 = None;
        Ok(())
    }
}
