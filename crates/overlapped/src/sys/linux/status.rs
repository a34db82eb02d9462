//! The status of files, by statx(2).

use std::ffi::c_char;
use std::os::fd::RawFd;

use crate::sys::errno::retried;

/// The status of a file: `struct statx` (statx(2)), as far as it is used here.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub(crate) struct StatBuf {
    /// The fields that are filled.
    mask: u32,
    pub(crate) block_size: u32,
    attributes: u64,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u16,
    pad: u16,
    pub(crate) inode: u64,
    pub(crate) size: u64,
    pub(crate) blocks: u64,
    attributes_mask: u64,
    pub(crate) accessed: StatTime,
    created: StatTime,
    pub(crate) changed: StatTime,
    pub(crate) modified: StatTime,
    rdev_major: u32,
    rdev_minor: u32,
    dev_major: u32,
    dev_minor: u32,
    /// Later kernels write here.
    rest: [u64; 14],
}

impl StatBuf {
    /// Returns the number of the device that the file lies on.
    pub(crate) fn device(&self) -> u64 {
        makedev(self.dev_major, self.dev_minor)
    }

    /// Returns the number of the device that the file is.
    pub(crate) fn own_device(&self) -> u64 {
        makedev(self.rdev_major, self.rdev_minor)
    }

    /// Returns the time when the file was created, if the file system keeps it.
    pub(crate) fn created(&self) -> Option<StatTime> {
        (self.mask & libc::STATX_BTIME != 0).then_some(self.created)
    }

    /// Tells whether the file lies on a disk of this machine, so that no server knows a newer
    /// status than the kernel. (Files of network file systems, and some others, have no device.)
    pub(crate) fn is_local(&self) -> bool {
        self.dev_major != 0
    }
}

/// Returns a device's number as Linux and glibc write it (makedev(3)).
fn makedev(major: u32, minor: u32) -> u64 {
    let (major, minor) = (u64::from(major), u64::from(minor));
    (major & 0xffff_f000) << 32 | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | minor & 0xff
}

/// A time in a [`StatBuf`]: seconds since 1970, perhaps negative, and nanoseconds to be added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct StatTime {
    pub(crate) seconds: i64,
    pub(crate) nanos: u32,
    pad: i32,
}

const _: () = assert!(size_of::<StatBuf>() == 256);
const _: () = assert!(std::mem::offset_of!(StatBuf, dev_minor) == 140);

const _: () = assert!(size_of::<StatBuf>() == size_of::<libc::statx>());

/// Everything in a [`StatBuf`], as std asks for it.
pub(crate) const STAT_MASK: u32 = libc::STATX_BASIC_STATS | libc::STATX_BTIME;

/// Calls statx(2) for all fields of a [`StatBuf`]. Returns 0 or a negated errno.
///
/// # Safety
/// `path` ends in a zero byte, or is null if `flags` allow that; `out` is valid for writes.
pub(crate) unsafe fn stat(at: RawFd, path: *const c_char, flags: i32, out: *mut StatBuf) -> i32 {
    // SAFETY: the caller's promise; the structures have one size.
    retried(|| unsafe { libc::statx(at, path, flags, STAT_MASK, out.cast()) as isize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_the_number_that_libc_gives_it() {
        for (major, minor) in [(8, 1), (259, 70_000), (0xfff_ffff, 0xfff_ffff)] {
            assert_eq!(makedev(major, minor), libc::makedev(major, minor));
        }
    }
}
