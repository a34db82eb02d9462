//! Locks on whole files (LockFileEx), as std has them.
//!
//! A wait inside of the system would lock the open file for all calls on it. So a tasklet tries,
//! and pauses between its tries. A lock that is granted to a tasklet that was abandoned at the end
//! of the grace time is released.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::{File, TryLockError};
use crate::sys::file;
use crate::sys::file::{Handle, Lock};
use crate::task::waiter::{self, Woken};
use crate::task::{cancelled_wait, in_tasklet};
use crate::time;

/// The first pause between two tries. Each one is twice as long as the one before.
const PAUSE_MIN: Duration = Duration::from_millis(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// A lock that was granted, and is released unless the waiter takes it.
struct Granted(Option<Arc<Handle>>);

impl Drop for Granted {
    fn drop(&mut self) {
        if let Some(handle) = &self.0 {
            let _ = file::unlock(handle);
        }
    }
}

impl File {
    /// Takes the exclusive lock. Waits for it, which blocks only the calling tasklet.
    ///
    /// # Errors
    /// Those of LockFileEx; `TimedOut` at the deadline set by [`timeout`](crate::time::timeout).
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

    /// Takes the exclusive lock, unless another handle has a lock.
    ///
    /// # Errors
    /// [`TryLockError`] says why.
    pub fn try_lock(&self) -> Result<(), TryLockError> {
        self.take_now(Lock::Exclusive)
    }

    /// Takes a shared lock, unless another handle has the exclusive lock.
    ///
    /// # Errors
    /// [`TryLockError`] says why.
    pub fn try_lock_shared(&self) -> Result<(), TryLockError> {
        self.take_now(Lock::Shared)
    }

    /// Releases the lock. Closing the last clone does, too.
    ///
    /// # Errors
    /// Those of UnlockFile: the file is not locked, for instance.
    pub fn unlock(&self) -> io::Result<()> {
        self.call("the release of a lock", |handle| file::unlock(handle))
    }

    fn take_now(&self, how: Lock) -> Result<(), TryLockError> {
        let tried = self.call("a try to lock a file", move |handle| {
            Ok(file::try_lock(handle, how).map(|()| Granted(Some(Arc::clone(handle)))))
        });
        let mut granted = tried.map_err(TryLockError::Error)??;
        granted.0 = None;
        Ok(())
    }

    fn take(&self, how: Lock) -> io::Result<()> {
        if !in_tasklet() {
            return file::lock(&self.handle, how);
        }
        let mut length = PAUSE_MIN;
        loop {
            match self.take_now(how) {
                Ok(()) => return Ok(()),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => pause(length)?,
            }
            length = PAUSE_MAX.min(length * 2);
        }
    }
}

/// Waits for a while, as a tasklet.
fn pause(length: Duration) -> io::Result<()> {
    let (wait, _waker) = waiter::prepare()?;
    let (end, limit) = (time::deadline_in(length), waiter::deadline());
    match wait.park("the lock of a file", end.min(limit)) {
        Woken::Killed => waiter::leave(),
        Woken::TimedOut if limit < end => Err(cancelled_wait()),
        Woken::TimedOut | Woken::Yes => Ok(()),
    }
}
