//! `File`, and the transfers between memory and a file.
//!
//! | the file is | at the cursor | at an offset |
//! |---|---|---|
//! | on a disk | one after another | at the same time |
//! | a FIFO, a terminal, a device | by the port, as pipes | by the port |
//! | a socket | received and sent | an error |
//!
//! `strategy` chooses the way to a disk, by the caller, the port, and the page cache.

mod by_pool;
mod convert;
mod lock;
mod memory;
mod page_cache;
mod strategy;
mod stream;
mod transfer;

use std::fmt;
use std::fs::{FileTimes, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::SystemTime;

use super::Metadata;
use super::owned_operation::{self, OwnedOperation};
use crate::descriptor::State;
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::FileKind;
use crate::sys::{descriptor, file};
use crate::task::blocking::on_pool;
pub use lock::TryLockError;

/// An open file; the counterpart of `std::fs::File`.
///
/// Every call blocks only the calling tasklet. Any number of tasklets, in any number of threads,
/// may use one file at once, through `&File` or clones. Reads and writes at the cursor are done one
/// after another, in the order of the calls. Reads and writes at an offset
/// ([`FileExt`](std::os::unix::fs::FileExt)) are done at the same time, many in flight.
///
/// ```
/// use std::io::{Read, Write};
/// use overlapped::fs::File;
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("greeting");
/// overlapped::run(|| {
///     File::create(&path)?.write_all(b"hello")?;
///     let mut text = String::new();
///     File::open(&path)?.read_to_string(&mut text)?;
///     assert_eq!(text, "hello");
///     std::io::Result::Ok(())
/// }).unwrap().unwrap();
/// ```
///
/// # Kills and deadlines
/// A tasklet that is killed while it waits for a disk leaves when the kernel does not use its
/// memory any more. If a pool thread works on a copy of the memory, the tasklet leaves at once, and
/// a write still happens. A call that a [`timeout`](crate::time::timeout) has ended has changed
/// nothing, except that a copy or a removal of several files may be half done.
///
/// # Dropping
/// Closes the file, in place, as std does. Errors are ignored; [`sync_all`](File::sync_all) returns
/// them.
pub struct File {
    /// Shared with jobs of the pool, which may outlive a killed caller.
    fd: Arc<OwnedFd>,
    /// Shared with clones, because they share the cursor in the kernel.
    state: Arc<State>,
}

impl File {
    /// Wraps a descriptor whose kind may be known already.
    pub(super) fn new(fd: OwnedFd, kind: Option<FileKind>) -> File {
        File { fd: Arc::new(fd), state: Arc::new(State::with_kind(kind)) }
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    /// Those of fsync(2), also of writes that had seemed to succeed.
    pub fn sync_all(&self) -> io::Result<()> {
        self.sync(false)
    }

    /// Waits until the contents are on the disk, with the metadata that is needed to find them.
    ///
    /// # Errors
    /// Those of fdatasync(2).
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn sync(&self, data_only: bool) -> io::Result<()> {
        OwnedOperation::Sync { fd: Arc::clone(&self.fd), data_only }.run().map(drop)
    }

    /// Cuts the file off at `size` bytes, or extends it by zeros. The cursor stays.
    ///
    /// # Errors
    /// `InvalidInput` for a length that no file can have, or if the file cannot be written to.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        i64::try_from(size).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        OwnedOperation::SetLen { fd: Arc::clone(&self.fd), len: size }.run().map(drop)
    }

    /// Returns the file's metadata.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        owned_operation::stat_of(&self.fd).map(Metadata::new)
    }

    /// Returns another handle to the same open file: both share the cursor.
    ///
    /// # Errors
    /// Those of fcntl(2): no descriptors left.
    pub fn try_clone(&self) -> io::Result<File> {
        let fd = descriptor::duplicate(self.as_fd())?;
        Ok(File { fd: Arc::new(fd), state: Arc::clone(&self.state) })
    }

    /// Changes the permissions.
    ///
    /// # Errors
    /// Those of fchmod(2).
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        let fd = Arc::clone(&self.fd);
        on_pool("chmod", move |_| file::set_permissions_of(&fd, permissions))
    }

    /// Changes the times of the last read and write.
    ///
    /// # Errors
    /// Those of futimens(2).
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        let fd = Arc::clone(&self.fd);
        on_pool("utimens", move |_| file::set_times(&fd, times))
    }

    /// Changes the time of the last write.
    ///
    /// # Errors
    /// Those of futimens(2).
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("File");
        let fd = self.as_fd();
        out.field("fd", &std::os::fd::AsRawFd::as_raw_fd(&fd));
        if let Some(path) = nonblocking::path_of(fd) {
            out.field("path", &path);
        }
        if let Ok(flags) = nonblocking::flags(fd) {
            let access = flags & libc::O_ACCMODE;
            out.field("read", &(access != libc::O_WRONLY));
            out.field("write", &(access != libc::O_RDONLY));
        }
        out.finish()
    }
}
