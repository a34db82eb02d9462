//! Calls that may wait for a disk or a file server. They run on pool threads (or outside of a
//! scheduler), and own what they work on.
//!
//! std makes most of them, since the callers return its errors.

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

/// Lends a descriptor to std's `File`, which does not close it.
fn as_file(fd: &OwnedFd) -> ManuallyDrop<File> {
    // SAFETY: open as long as `fd` is borrowed, and never closed by this copy.
    ManuallyDrop::new(unsafe { File::from_raw_fd(fd.as_raw_fd()) })
}

/// Calls futimens(2).
pub(crate) fn set_times(fd: &OwnedFd, times: FileTimes) -> io::Result<()> {
    as_file(fd).set_times(times)
}

/// Calls fchmod(2).
pub(crate) fn set_permissions_of(fd: &OwnedFd, permissions: Permissions) -> io::Result<()> {
    as_file(fd).set_permissions(permissions)
}

/// Calls chmod(2).
pub(crate) fn set_permissions(path: &Path, permissions: Permissions) -> io::Result<()> {
    std::fs::set_permissions(path, permissions)
}

/// Calls chown(2), or lchown(2).
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

/// Calls chroot(2), which takes effect for all threads of the process.
pub(crate) fn change_root(path: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(path)
}

/// Calls fchown(2).
pub(crate) fn change_owner_of(
    fd: &OwnedFd,
    (uid, gid): (Option<u32>, Option<u32>),
) -> io::Result<()> {
    std::os::unix::fs::fchown(fd, uid, gid)
}

/// Calls readlink(2).
pub(crate) fn read_link(path: &Path) -> io::Result<PathBuf> {
    std::fs::read_link(path)
}

/// Calls realpath(3).
pub(crate) fn canonicalize(path: &Path) -> io::Result<PathBuf> {
    std::fs::canonicalize(path)
}

/// Calls flock(2): may wait for ever.
pub(crate) fn lock(fd: &OwnedFd, how: Lock, interruptible: &Interruptible) -> io::Result<()> {
    // SAFETY: the descriptor is open, and the call takes no pointers.
    to_result(interruptible.call(|| unsafe { libc::flock(fd.as_raw_fd(), how.flags()) } as isize))
        .map(drop)
}

/// Calls open(2), which may wait for ever.
pub(crate) fn open_interruptible(
    path: &std::ffi::CStr,
    flags: i32,
    mode: u32,
    interruptible: &Interruptible,
) -> io::Result<OwnedFd> {
    // SAFETY: the path ends in a zero byte.
    let fd = to_result(
        interruptible.call(|| unsafe { abi::open(path.as_ptr(), flags, mode) } as isize),
    )?;
    // SAFETY: the call returned a new descriptor, which no other code knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens `path` and waits for its other side, while `early`, which was opened without waiting,
/// stays open. Returns `None` if the other side has met the early open already: `early` is in
/// blocking mode then, and serves in place of the second open.
///
/// The other side may come and go between the check and the open, and the open would then wait for
/// the next process. So both are repeated a few times.
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
        // SAFETY: the path ends in a zero byte.
        unsafe { abi::open(path.as_ptr(), flags) as isize }
    });
    match opened {
        // Many a device can be opened only once.
        _ if opened == met || (is_device && opened == -libc::EBUSY) => {
            set_flags(early.as_fd(), flags).map(|()| None)
        }
        // SAFETY: the call returned a new descriptor, which no other code knows.
        _ => to_result(opened).map(|fd| Some(unsafe { OwnedFd::from_raw_fd(fd) })),
    }
}

/// Tells whether the other side of a FIFO's reading end, opened without one, has left something, or
/// has come and gone.
fn has_met(fd: RawFd) -> bool {
    let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
    // SAFETY: the call reads and writes one entry, `poll`, and does not wait.
    unsafe { libc::poll(&raw mut poll, 1, 0) == 1 }
}
