//! Advisory locks on whole files (flock(2)), as std has them.
//!
//! A lock that is not free is waited for on a thread of its own: it may take for ever. A killed
//! waiter has its call interrupted; if it got the lock at that very moment, it has it. What a
//! waiter gets that was given up at the end of its grace time is let go.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::File;
use crate::sys::file;
use crate::sys::file::nonblocking::{Lock, try_lock};
use crate::task::aside::{in_place, on_patient_thread};
use crate::task::count_busy_call;

/// Why a lock was not taken; the counterpart of `std::fs::TryLockError`.
pub enum TryLockError {
    /// The system's reason.
    Error(io::Error),
    /// Somebody else holds a lock that excludes it.
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

/// A lock that a waiter has got, and let go unless the waiter takes it.
struct Granted(Option<Arc<OwnedFd>>);

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(fd) = &self.0 {
            let _ = try_lock(fd.as_fd(), Lock::None);
        }
    }
}

/// A caller that tries again and again lets the holder run.
fn tried(result: Result<(), TryLockError>) -> Result<(), TryLockError> {
    if matches!(result, Err(TryLockError::WouldBlock)) {
        count_busy_call();
    }
    result
}

impl File {
    /// Takes the exclusive lock; waits for it, blocking the calling tasklet only.
    ///
    /// # Errors
    /// Those of flock(2); `TimedOut` at the deadline set by [`timeout`](crate::time::timeout).
    pub fn lock(&self) -> io::Result<()> {
        self.take(Lock::Exclusive)
    }

    /// Takes a shared lock; waits for it, blocking the calling tasklet only.
    ///
    /// # Errors
    /// As [`lock`](File::lock).
    pub fn lock_shared(&self) -> io::Result<()> {
        self.take(Lock::Shared)
    }

    /// Takes the exclusive lock, if nobody holds one.
    ///
    /// # Errors
    /// [`TryLockError`] says when.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        tried(self.take_now(Lock::Exclusive))
    }

    /// Takes a shared lock, if nobody holds the exclusive one.
    ///
    /// # Errors
    /// [`TryLockError`] says when.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        tried(self.take_now(Lock::Shared))
    }

    /// Lets the lock go, which closing the last clone does, too.
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
        let granted = on_patient_thread("the lock of a file", move |patience| {
            file::lock(&fd, how, patience)?;
            Ok(Granted(Some(fd)))
        });
        let mut granted = granted.unwrap_or_else(|| Err(io::ErrorKind::WouldBlock.into()))?;
        granted.0 = None;
        Ok(())
    }
}
