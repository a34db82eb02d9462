//! Calls that the kernel answers without asking a disk or a server.

use std::io::{self, SeekFrom};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::status::StatBuf;
use crate::sys::descriptor::{self, Kind};
use crate::sys::errno::{retried, to_result};
use crate::sys::native::abi::{self, O_DIRECT};
pub(crate) use crate::sys::native::cache::{
    OpenHow, cached, from_cache, open_cached, opened, stat_of,
};

/// The kind of a descriptor, as far as transfers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Regular file, directory, block device: always ready. Transfers at the cursor take turns.
    Disk {
        /// Past the page cache (`O_DIRECT`).
        direct: bool,
        /// Writes go to the end (`O_APPEND`).
        append: bool,
    },
    /// A socket, whose descriptor was made into a `File`.
    Socket,
    /// FIFO, terminal, other device.
    Stream,
}

/// Returns the kind of `fd`, as far as transfers go.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<FileKind> {
    match descriptor::kind(fd.as_raw_fd()).map_err(io::Error::from_raw_os_error)? {
        kind if kind.is_disk() => Ok(FileKind::disk(flags(fd)?)),
        Kind::Socket => Ok(FileKind::Socket),
        _ => Ok(FileKind::Stream),
    }
}

impl FileKind {
    /// Returns a regular file, directory or block device with these status flags.
    pub(crate) fn disk(flags: i32) -> FileKind {
        FileKind::Disk { direct: flags & O_DIRECT != 0, append: flags & libc::O_APPEND != 0 }
    }
}

/// Returns the file's status flags (`F_GETFL`).
pub(crate) fn flags(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: the descriptor is open, and the call takes no pointers.
    to_result(retried(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as isize))
}

/// Tells whether transfers go past the page cache (`O_DIRECT`).
pub(crate) fn is_direct(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(flags(fd)? & O_DIRECT != 0)
}

/// Moves the cursor.
pub(crate) fn seek(fd: BorrowedFd<'_>, to: SeekFrom) -> io::Result<u64> {
    let (offset, whence) = match to {
        // As in std, an offset that does not fit becomes negative, which is an error.
        SeekFrom::Start(offset) => (offset as i64, libc::SEEK_SET),
        SeekFrom::End(offset) => (offset, libc::SEEK_END),
        SeekFrom::Current(offset) => (offset, libc::SEEK_CUR),
    };
    // SAFETY: the descriptor is open, and the call takes no pointers.
    let at = unsafe { abi::lseek(fd.as_raw_fd(), offset, whence) };
    u64::try_from(at).map_err(|_| io::Error::last_os_error())
}

/// Returns the path under which the file was opened, as /proc tells; for messages only.
pub(crate) fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

/// Calls flock(2) without waiting.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, how: Lock) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call takes no pointers.
    to_result(retried(
        || unsafe { libc::flock(fd.as_raw_fd(), how.flags() | libc::LOCK_NB) } as isize
    ))
    .map(drop)
}

/// A change to a file's lock, by flock(2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Exclusive,
    Shared,
    None,
}

impl Lock {
    pub(super) fn flags(self) -> i32 {
        match self {
            Lock::Exclusive => libc::LOCK_EX,
            Lock::Shared => libc::LOCK_SH,
            Lock::None => libc::LOCK_UN,
        }
    }
}

/// The status of a path, as far as the kernel's cache of names tells.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "its callers match it at once, and store none")]
pub(crate) enum Cached {
    /// It exists.
    Found(StatBuf),
    /// It does not exist, or cannot be reached: an errno.
    Failed(i32),
    /// The disk, or a server, would have to be asked.
    Unknown,
}

/// The outcome of [`open_cached`].
#[derive(Debug)]
pub(crate) enum Opened {
    /// A file, a directory or a block device.
    File(OwnedFd, FileKind),
    /// A FIFO or a device, for whose other side an open in blocking mode might have waited. The
    /// descriptor may be in non-blocking mode.
    Early(OwnedFd),
    /// The open fails, however it is made: an errno.
    Failed(i32),
    /// Only a call that waits can find out.
    Unknown,
}

/// Changes the file's status flags (`F_SETFL`).
pub(crate) fn set_flags(fd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call takes no pointers.
    to_result(retried(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) } as isize))
        .map(drop)
}
