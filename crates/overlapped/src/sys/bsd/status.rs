//! The status of files, by fstat(2) and fstatat(2).

use std::ffi::c_char;
use std::os::fd::RawFd;

use super::abi::AT_EMPTY_PATH;
use crate::sys::errno::retried;

/// The status of a file, as far as it is used here.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct StatBuf {
    pub(crate) block_size: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    pub(crate) accessed: StatTime,
    created: Option<StatTime>,
    pub(crate) changed: StatTime,
    pub(crate) modified: StatTime,
    device: u64,
    own_device: u64,
}

/// A time in a [`StatBuf`]: seconds since 1970, perhaps negative, and nanoseconds to be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StatTime {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
}

impl StatBuf {
    /// Returns the number of the device that the file lies on.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// Returns the number of the device that the file is.
    pub(crate) fn own_device(&self) -> u64 {
        self.own_device
    }

    /// Returns the time when the file was created, if the file system keeps it.
    pub(crate) fn created(&self) -> Option<StatTime> {
        self.created
    }

    /// Tells whether the kernel's own knowledge is all there is. These systems do not tell, so the
    /// answer is no.
    pub(crate) fn is_local(&self) -> bool {
        false
    }
}

impl From<&libc::stat> for StatBuf {
    fn from(stat: &libc::stat) -> StatBuf {
        let time = |seconds, nanos| StatTime { seconds, nanos: nanos as u32 };
        let created = time(stat.st_birthtime, stat.st_birthtime_nsec);
        StatBuf {
            block_size: stat.st_blksize as u32,
            links: stat.st_nlink as u32,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            accessed: time(stat.st_atime, stat.st_atime_nsec),
            // FreeBSD says −1 if the file system does not keep it.
            created: (created.seconds != -1).then_some(created),
            changed: time(stat.st_ctime, stat.st_ctime_nsec),
            modified: time(stat.st_mtime, stat.st_mtime_nsec),
            device: stat.st_dev as u64,
            own_device: stat.st_rdev as u64,
        }
    }
}

/// Reads the status of `path`, relative to the directory `at`; with `AT_EMPTY_PATH`, of `at`
/// itself. Returns 0 or a negated errno.
///
/// # Safety
/// `path` ends in a zero byte; `out` is valid for writes.
pub(crate) unsafe fn stat(at: RawFd, path: *const c_char, flags: i32, out: *mut StatBuf) -> i32 {
    // SAFETY: this is a C struct of integers, for which all bits zero is a value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the caller's promise of `path`; the place is a `stat`.
    let failed = retried(|| unsafe {
        if flags & AT_EMPTY_PATH != 0 {
            libc::fstat(at, &raw mut stat) as isize
        } else {
            libc::fstatat(at, path, &raw mut stat, flags) as isize
        }
    });
    if failed == 0 {
        // SAFETY: the caller's promise.
        unsafe { out.write(StatBuf::from(&stat)) };
    }
    failed
}
