//! Calls that may wait for a disk or a file server. They run on pool threads (or outside of a
//! scheduler), and own what they work on.
//!
//! std makes most of them: its errors are the ones wanted.

use std::fs::{File, FileTimes, Permissions};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use crate::sys::errno::to_result;
use crate::sys::file::nonblocking::{Lock, set_flags};
use crate::sys::native::abi;
use crate::sys::thread::interruptible::Interruptible;

pub(crate) use super::copy::{Copy, NO_FILE, copy, mode_may_wait};
pub(crate) use super::listing::{Batch, Entry, open_listing, read_batch};
pub(crate) use super::tree::remove_tree;

/// std's view of a descriptor, which stays its owner's.
fn as_file(fd: &OwnedFd) -> ManuallyDrop<File> {
    // SAFETY: open as long as `fd` is borrowed, and never closed by this copy.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// futimens(2).
pub(crate) fn set_times(fd: &OwnedFd, times: FileTimes) -> io::Result<()> {
    as_file(fd).set_times(times)
}

/// fchmod(2).
pub(crate) fn set_permissions_of(fd: &OwnedFd, permissions: Permissions) -> io::Result<()> {
    as_file(fd).set_permissions(permissions)
}

/// chmod(2).
pub(crate) fn set_permissions(path: &Path, permissions: Permissions) -> io::Result<()> {
    std::fs::set_permissions(path, permissions)
}

/// chown(2), or lchown(2).
pub(crate) fn change_owner(
    path: &Path,
    (uid, gid): (Option<u32>, Option<u32>),
    follow: bool,
) -> io::Result<()> {
    if follow {
        std::os::unix::fs::chown(path, uid, gid)
    } else {
        std::os::unix::fs::lchown(path, uid, gid)
    }
}

/// chroot(2), which is for all threads of the process.
pub(crate) fn change_root(path: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(path)
}

/// fchown(2).
pub(crate) fn change_owner_of(
    fd: &OwnedFd,
    (uid, gid): (Option<u32>, Option<u32>),
) -> io::Result<()> {
    std::os::unix::fs::fchown(fd, uid, gid)
}

/// readlink(2).
pub(crate) fn read_link(path: &Path) -> io::Result<PathBuf> {
    std::fs::read_link(path)
}

/// realpath(3).
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// flock(2): may wait for ever.
pub(crate) fn lock(fd: &OwnedFd, how: Lock, interruptible: &Interruptible) -> io::Result<()> {
    // SAFETY: an open descriptor; no pointers.
    to_result(interruptible.call(|| unsafe { libc::flock(fd.as_raw_fd(), how.flags()) } as isize))
        .map(drop)
}

/// open(2) where it may wait for ever.
pub(crate) fn open_interruptible(
    path: &std::ffi::CStr,
    flags: i32,
    mode: u32,
    interruptible: &Interruptible,
) -> io::Result<OwnedFd> {
    // SAFETY: a path that ends in a zero byte.
    let fd = to_result(
        interruptible.call(|| unsafe { abi::open(path.as_ptr(), flags, mode) } as isize),
    )?;
    // SAFETY: a new descriptor that no other code knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens again what has been opened `early`, without waiting: the other side may have met that one
/// already, and be gone. `None`: it is as good as one that has waited, and in blocking mode.
///
/// A process may come and go between the check and the open, which would wait for the next one. So
/// both are done again a few times.
pub(crate) fn open_again(
    early: &OwnedFd,
    path: &std::ffi::CStr,
    flags: i32,
    interruptible: &Interruptible,
) -> io::Result<Option<OwnedFd>> {
    let is_device = as_file(early).metadata()?.file_type().is_char_device();
    let met = early.as_raw_fd();
    interruptible.restart_soon();
    let opened = interruptible.call(|| {
        if !is_device && has_met(met) {
            return met as isize;
        }
        // SAFETY: a path that ends in a zero byte.
        unsafe { abi::open(path.as_ptr(), flags) as isize }
    });
    match opened {
        // Of many a device there can be only one.
        _ if opened == met || (is_device && opened == -libc::EBUSY) => {
            set_flags(early.as_fd(), flags).map(|()| None)
        }
        // SAFETY: a new descriptor that no other code knows.
        _ => to_result(opened).map(|fd| Some(unsafe { OwnedFd::from_raw_fd(fd) })),
    }
}

/// Tells whether the other side of a FIFO's reading end, opened without one, has left something, or
/// has come and gone.
fn has_met(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, and no waiting.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}
