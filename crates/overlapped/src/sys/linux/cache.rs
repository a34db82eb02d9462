//! Look-ups in the kernel's caches of names and of inodes, which ask neither a disk nor a server.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::status::{self, StatBuf};
use crate::sys::errno::retried;
use crate::sys::file::mode_may_wait;
use crate::sys::file::nonblocking::{Cached, FileKind, Opened, set_flags};

/// The request of an openat2(2): `struct open_how`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// Looks up `path`, relative to the directory `at`, in the kernel's cache of names. Opens nothing.
pub(crate) fn cached(at: RawFd, path: &CStr, follow: bool) -> Cached {
    let nofollow = if follow { 0 } else { libc::O_NOFOLLOW };
    let how = from_cache(libc::O_PATH | libc::O_CLOEXEC | nofollow);
    let fd = match openat2(at, path, &how) {
        Ok(fd) => fd,
        Err(errno) => {
            return match errno {
                // The path is not in the cache, no descriptor is left for this detour, or the
                // kernel or a sandbox does not have the call.
                libc::EAGAIN
                | libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::ENOSYS
                | libc::EPERM
                | libc::EINVAL => Cached::Unknown,
                errno => Cached::Failed(errno),
            };
        }
    };
    stat_of(fd.as_fd()).map_or(Cached::Unknown, Cached::Found)
}

/// Opens `path` if it is in the kernel's cache of names, and never waits for another process.
/// `flags` must ask neither to create nor to truncate the file, nor for non-blocking mode.
pub(crate) fn open_cached(path: &CStr, flags: i32) -> Opened {
    // Without it, the open of a FIFO would wait.
    let how = from_cache(flags | libc::O_NONBLOCK);
    match opened(openat2(libc::AT_FDCWD, path, &how), flags) {
        Opened::File(fd, _) if set_flags(fd.as_fd(), flags).is_err() => Opened::Unknown,
        opened => opened,
    }
}

/// Returns the request for an open from the kernel's cache of names. (The ring adds non-blocking
/// mode by itself, and takes it away again.)
pub(crate) fn from_cache(flags: i32) -> OpenHow {
    OpenHow { flags: flags as u64, mode: 0, resolve: libc::RESOLVE_CACHED }
}

/// Returns the outcome of an open [`from_cache`] with these flags, from its result: a descriptor or
/// an errno.
pub(crate) fn opened(result: Result<OwnedFd, i32>, flags: i32) -> Opened {
    let fd = match result {
        Ok(fd) => fd,
        Err(
            errno @ (libc::ENOENT
            | libc::ENOTDIR
            | libc::EACCES
            | libc::ELOOP
            | libc::ENAMETOOLONG
            | libc::EISDIR
            | libc::EROFS),
        ) => return Opened::Failed(errno),
        // The path is not in the cache, another process has a lease, a FIFO has no reader, or the
        // kernel does not have the call.
        Err(_) => return Opened::Unknown,
    };
    let Some(stat) = stat_of(fd.as_fd()) else {
        return Opened::Unknown;
    };
    if mode_may_wait(stat.mode.into()) {
        return Opened::Early(fd);
    }
    Opened::File(fd, FileKind::disk(flags))
}

/// Calls openat2(2).
fn openat2(at: RawFd, path: &CStr, how: &OpenHow) -> Result<OwnedFd, i32> {
    // SAFETY: a path that ends in a zero byte, and a structure of the size given.
    let fd = retried(|| unsafe {
        let (how, size) = (std::ptr::from_ref(how), size_of::<OpenHow>());
        libc::syscall(libc::SYS_openat2, at, path.as_ptr(), how, size) as isize
    });
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: the call returned a new descriptor, which no other code knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Returns the status of an open file as the kernel has it, without asking a server.
pub(crate) fn stat_of(fd: BorrowedFd<'_>) -> Option<StatBuf> {
    /// A null path is quicker than an empty one, but kernels before Linux 6.11 refuse it.
    static NEEDS_PATH: AtomicBool = AtomicBool::new(false);
    let mut out = StatBuf::default();
    let flags = libc::AT_EMPTY_PATH | libc::AT_STATX_DONT_SYNC;
    let mut stat = |path: *const c_char| {
        // SAFETY: an empty path or none, and a place of the size that statx(2) writes to.
        unsafe { status::stat(fd.as_raw_fd(), path, flags, &raw mut out) }
    };
    if !NEEDS_PATH.load(Relaxed) {
        match stat(std::ptr::null()) {
            errno if errno == -libc::EFAULT => NEEDS_PATH.store(true, Relaxed),
            result => return (result == 0).then_some(out),
        }
    }
    (stat(c"".as_ptr()) == 0).then_some(out)
}
