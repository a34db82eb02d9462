//! Single calls on files and paths that end by themselves: 0, a new descriptor, or a negated errno.
//! They may wait for a disk. Paths are relative to the working directory.

use std::ffi::c_char;
use std::os::fd::RawFd;

use crate::sys::errno::retried;
use crate::sys::native::abi;

pub(crate) use crate::sys::native::status::stat;

/// Calls fsync(2), or fdatasync(2).
pub(crate) fn sync(fd: RawFd, data_only: bool) -> i32 {
    // SAFETY: no pointers.
    retried(|| unsafe { if data_only { abi::fdatasync(fd) } else { abi::fsync(fd) } } as isize)
}

/// Calls ftruncate(2).
pub(crate) fn set_len(fd: RawFd, len: u64) -> i32 {
    // SAFETY: no pointers.
    retried(|| unsafe { abi::ftruncate(fd, len as i64) } as isize)
}

/// Calls open(2).
///
/// # Safety
/// `path` ends in a zero byte.
pub(crate) unsafe fn open(path: *const c_char, flags: i32, mode: u32) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe { abi::open(path, flags, mode) } as isize)
}

/// Calls rename(2).
///
/// # Safety
/// Both paths end in a zero byte.
pub(crate) unsafe fn rename(from: *const c_char, to: *const c_char) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::rename(from, to) } as isize)
}

/// Calls unlink(2), or rmdir(2).
///
/// # Safety
/// `path` ends in a zero byte.
pub(crate) unsafe fn unlink(path: *const c_char, directory: bool) -> i32 {
    let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::unlinkat(libc::AT_FDCWD, path, flags) } as isize)
}

/// Calls mkdir(2).
///
/// # Safety
/// `path` ends in a zero byte.
pub(crate) unsafe fn make_dir(path: *const c_char, mode: u32) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::mkdir(path, abi::mode_of(mode)) } as isize)
}

/// Calls link(2).
///
/// # Safety
/// Both paths end in a zero byte.
pub(crate) unsafe fn link(from: *const c_char, to: *const c_char) -> i32 {
    let here = libc::AT_FDCWD;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::linkat(here, from, here, to, 0) } as isize)
}

/// Calls symlink(2).
///
/// # Safety
/// Both paths end in a zero byte.
pub(crate) unsafe fn symlink(target: *const c_char, link: *const c_char) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::symlink(target, link) } as isize)
}
