//! The metadata of files: by statx(2) on Linux, by the calls of POSIX elsewhere.
//!
//! Answers are cached as long as the metadata stays equal, so a stat must be cheap: of an open file
//! it never waits for a disk, and with statx(2) it need not ask a remote file system's server.

use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::path::Arg;

/// The metadata of a file. Two equal values mean that the file has not changed in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileStat {
    device: u64,
    inode: u64,
    pub(crate) mode: rustix::fs::RawMode,
    pub(crate) size: u64,
    /// The time of the last change of the content: seconds since 1970, and nanoseconds.
    pub(crate) modified: (i64, u32),
    /// The time of the last change of the content or of other metadata.
    pub(crate) changed: (i64, u32),
}

impl FileStat {
    pub(crate) fn file_type(&self) -> FileType {
        FileType::from_raw_mode(self.mode)
    }
}

#[cfg(target_os = "linux")]
impl From<rustix::fs::Statx> for FileStat {
    fn from(stat: rustix::fs::Statx) -> FileStat {
        FileStat {
            device: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            inode: stat.stx_ino,
            mode: stat.stx_mode.into(),
            size: stat.stx_size,
            modified: (stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            changed: (stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
        }
    }
}

#[cfg(not(target_os = "linux"))]
impl From<rustix::fs::Stat> for FileStat {
    fn from(stat: rustix::fs::Stat) -> FileStat {
        FileStat {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
        }
    }
}

/// Returns the metadata of an open file. It never waits for a disk, because the inode of an open
/// file is in memory.
pub(crate) fn stat(file: &impl std::os::fd::AsFd) -> Result<FileStat, Errno> {
    system::stat(file).map(FileStat::from)
}

/// Returns the metadata of the file at a path. It may wait for a disk, so it is only for paths that
/// were used just now.
pub(crate) fn stat_path(path: &CString) -> Result<FileStat, Errno> {
    system::stat_path(path).map(FileStat::from)
}

/// Returns the metadata of `name` in an open folder, not following a link.
pub(crate) fn stat_in(folder: &OwnedFd, name: impl Arg) -> Result<FileStat, Errno> {
    system::stat_in(folder, name).map(FileStat::from)
}

/// The system's calls for metadata: statx(2), which need not ask a remote file system's server.
#[cfg(target_os = "linux")]
mod system {
    use std::ffi::CString;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{AtFlags, CWD, Statx, StatxFlags, statx};
    use rustix::io::Errno;
    use rustix::path::Arg;

    const FIELDS: StatxFlags = StatxFlags::BASIC_STATS;

    pub(super) fn stat(file: &impl AsFd) -> Result<Statx, Errno> {
        statx(file, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, FIELDS)
    }

    pub(super) fn stat_path(path: &CString) -> Result<Statx, Errno> {
        statx(CWD, path, AtFlags::STATX_DONT_SYNC, FIELDS)
    }

    pub(super) fn stat_in(folder: &OwnedFd, name: impl Arg) -> Result<Statx, Errno> {
        statx(folder, name, AtFlags::SYMLINK_NOFOLLOW, FIELDS)
    }
}

/// The system's calls for metadata: those of POSIX.
#[cfg(not(target_os = "linux"))]
mod system {
    use std::ffi::CString;
    use std::os::fd::{AsFd, OwnedFd};

    use rustix::fs::{AtFlags, Stat};
    use rustix::io::Errno;
    use rustix::path::Arg;

    pub(super) fn stat(file: &impl AsFd) -> Result<Stat, Errno> {
        rustix::fs::fstat(file)
    }

    pub(super) fn stat_path(path: &CString) -> Result<Stat, Errno> {
        rustix::fs::stat(path)
    }

    pub(super) fn stat_in(folder: &OwnedFd, name: impl Arg) -> Result<Stat, Errno> {
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)
    }
}
