//! `File`.

mod convert;
mod cursor;
mod lock;
mod spare;
mod stream;
mod transfer;

use std::fmt;
use std::fs::{FileTimes, Permissions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::SystemTime;

use super::errand::{self, Errand};
use super::{Metadata, OpenOptions};
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::FileKind;
use crate::sys::{descriptor, file};
use crate::task::aside::on_pool;
use cursor::Cursor;
pub use lock::TryLockError;

/// An open file; the counterpart of `std::fs::File`.
///
/// Every call blocks only the calling tasklet. Any number of tasklets, in any number of threads,
/// may use one file at once, through `&File` or clones: reads and writes at the cursor are done one
/// after another, in the order of the calls; those at an offset
/// ([`FileExt`](std::os::unix::fs::FileExt)) at once, many in flight.
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
/// A tasklet that is killed while it waits for a disk leaves when the kernel lets go of its memory,
/// or at once, where a thread of the pool works on a copy of it: the write then still happens.
/// What a [`timeout`](crate::time::timeout) ends has not happened, except that a file which is
/// being copied or removed may be left half done.
///
/// # Dropping
/// Closes the file, in place, as std does. Errors are ignored; [`sync_all`](File::sync_all) shows
/// them.
pub struct File {
    /// Shared with jobs of the pool, which may outlive a killed caller.
    fd: Arc<OwnedFd>,
    /// Shared with clones, because they share the cursor in the kernel.
    cursor: Arc<Cursor>,
    /// See [`transfer`].
    kind: AtomicU8,
}

impl File {
    /// `kind`: if that is known.
    pub(super) fn fresh(fd: OwnedFd, kind: Option<FileKind>) -> File {
        let kind = AtomicU8::new(kind.map_or(transfer::UNKNOWN, transfer::number));
        File { fd: Arc::new(fd), cursor: Arc::default(), kind }
    }

    /// Opens a file to read from it.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).open(path)
    }

    /// Opens a file to write to it, made where it is not there, emptied where it is.
    ///
    /// # Errors
    /// Those of open(2).
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file and opens it to read and write.
    ///
    /// # Errors
    /// `AlreadyExists` where something is there; those of open(2).
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).create_new(true).open(path)
    }

    /// Other ways to open.
    #[must_use]
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    /// Those of fsync(2), also of writes that had seemed to succeed.
    pub fn sync_all(&self) -> io::Result<()> {
        self.sync(false)
    }

    /// Waits until the contents are on the disk, and as much metadata as finding them takes.
    ///
    /// # Errors
    /// Those of fdatasync(2).
    pub fn sync_data(&self) -> io::Result<()> {
        self.sync(true)
    }

    fn sync(&self, data_only: bool) -> io::Result<()> {
        Errand::Sync { fd: Arc::clone(&self.fd), data_only }.run().map(drop)
    }

    /// Makes the file so long: cut off, or extended by zeros. The cursor stays.
    ///
    /// # Errors
    /// `InvalidInput` for a length that no file can have, or where the file cannot be written to.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        i64::try_from(size).map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        Errand::SetLen { fd: Arc::clone(&self.fd), len: size }.run().map(drop)
    }

    /// What the kernel says of the file.
    ///
    /// # Errors
    /// Those of statx(2).
    pub fn metadata(&self) -> io::Result<Metadata> {
        errand::stat_of(&self.fd).map(Metadata::of)
    }

    /// Another handle to the same open file: both share the cursor.
    ///
    /// # Errors
    /// Those of fcntl(2): no descriptors left.
    pub fn try_clone(&self) -> io::Result<File> {
        let fd = descriptor::duplicate(self.as_fd())?;
        let cursor = Arc::clone(&self.cursor);
        Ok(File { fd: Arc::new(fd), cursor, kind: AtomicU8::new(transfer::UNKNOWN) })
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
