//! `File`: an open file, and the calls on it that move no bytes.

use std::fmt;
use std::fs::{FileTimes, Permissions};
use std::io;
use std::sync::Arc;
use std::time::SystemTime;

use super::Metadata;
use crate::descriptor::{State, Turn};
use crate::sys::file;
use crate::sys::file::Handle;
use crate::sys::file::nonblocking::FileKind;
use crate::task::blocking::on_pool;

/// An open file; the counterpart of `std::fs::File`.
///
/// Every call blocks only the calling tasklet. Any number of tasklets, in any number of threads,
/// may use one file: calls on it, and on its clones, take turns in their order. A transfer at an
/// offset ([`FileExt`](std::os::windows::fs::FileExt)) moves the cursor, as in std.
///
/// # Kills and deadlines
/// A call that has not begun when its tasklet is killed, or its deadline passes, never begins, and
/// the cursor stays. A call that has begun returns its result: the tasklet ends at its next wait.
/// So a read loses no bytes. The exception is a tasklet that is abandoned at the end of its run's
/// grace time, inside of a call: the bytes that the call still moves are lost with the tasklet, and
/// the cursor is behind them. Other tasklets have their turn after that call.
///
/// # Dropping
/// Closes the file, in place, as std does; after the last job on it, if a tasklet was abandoned.
pub struct File {
    /// Shared with jobs of the pool, which may outlive a killed caller.
    pub(super) handle: Arc<Handle>,
    /// Shared with clones, because they share the cursor in the system.
    pub(super) state: Arc<State>,
}

impl File {
    /// Wraps a handle whose kind may be known already.
    pub(super) fn new(handle: Handle, kind: Option<FileKind>) -> File {
        File { handle: Arc::new(handle), state: Arc::new(State::with_kind(kind)) }
    }

    /// Makes a call on the open file, as a job, in turn.
    pub(super) fn call<T: Send + 'static>(
        &self,
        what: &'static str,
        call: impl FnOnce(&Arc<Handle>) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let turn = Turn::take(Arc::clone(&self.state))?;
        let handle = Arc::clone(&self.handle);
        on_pool(what, move |_| {
            let result = call(&handle);
            drop(turn);
            result
        })
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    /// Those of FlushFileBuffers: the file must be open for writing.
    pub fn sync_all(&self) -> io::Result<()> {
        self.call("FlushFileBuffers", |handle| file::sync(handle, false))
    }

    /// Does the same as [`sync_all`](File::sync_all), as in std.
    ///
    /// # Errors
    /// As [`sync_all`](File::sync_all).
    pub fn sync_data(&self) -> io::Result<()> {
        self.call("FlushFileBuffers", |handle| file::sync(handle, true))
    }

    /// Cuts the file off at `size` bytes, or extends it by zeros. The cursor stays.
    ///
    /// # Errors
    /// `InvalidInput` for a length that no file can have; those of SetFileInformationByHandle.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.call("the change of a file's length", move |handle| file::set_len(handle, size))
    }

    /// Returns the file's metadata.
    ///
    /// # Errors
    /// Those of GetFileInformationByHandle.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.call("a file's metadata", |handle| file::metadata_of(handle))
    }

    /// Returns another handle to the same open file: both share the cursor.
    ///
    /// # Errors
    /// Those of DuplicateHandle.
    pub fn try_clone(&self) -> io::Result<File> {
        let handle = file::duplicate(&self.handle)?;
        Ok(File { handle: Arc::new(handle), state: Arc::clone(&self.state) })
    }

    /// Changes the permissions: the attribute "read-only".
    ///
    /// # Errors
    /// Those of SetFileInformationByHandle.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let call = move |handle: &Arc<_>| file::set_permissions_of(handle, permissions);
        self.call("the change of permissions", call)
    }

    /// Changes the times of the file.
    ///
    /// # Errors
    /// Those of SetFileTime.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.call("the change of a file's times", move |handle| file::set_times(handle, times))
    }

    /// Changes the time of the last write.
    ///
    /// # Errors
    /// Those of SetFileTime.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}
