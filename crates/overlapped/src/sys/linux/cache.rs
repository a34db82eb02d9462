//! What the kernel's caches of names and of inodes tell, without asking a disk or a server.

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

/// Looks `path`, which leads on from the directory `at`, up in the kernel's cache of names. Opens
/// nothing.
pub(crate) fn cached(at: RawFd, path: &CStr, follow: bool) -> Cached {
    let nofollow = if follow { 0 } else { libc::O_NOFOLLOW };
    let how = from_cache(libc::O_PATH | libc::O_CLOEXEC | nofollow);
    let fd = match openat2(at, path, &how) {
        Ok(fd) => fd,
        Err(errno) => {
            return match errno {
                // Not in the cache; no descriptors for this detour; a kernel or a sandbox that does
                // not have it.
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

/// Opens `path` if the kernel's cache of names leads there, and never waits for another
/// process. Makes nothing and empties nothing, so `flags` must ask for neither, nor for
/// non-blocking mode.
pub(crate) fn open_cached(path: &CStr, flags: i32) -> Opened {
    // So that a FIFO does not wait.
    let how = from_cache(flags | libc::O_NONBLOCK);
    match opened(openat2(libc::AT_FDCWD, path, &how), flags) {
        Opened::File(fd, _) if set_flags(fd.as_fd(), flags).is_err() => Opened::Unknown,
        opened => opened,
    }
}

/// The request for an open of what the kernel's cache of names leads to. (The ring adds
/// non-blocking mode by itself, and takes it away again.)
pub(crate) fn from_cache(flags: i32) -> OpenHow {
    OpenHow { flags: flags as u64, mode: 0, resolve: libc::RESOLVE_CACHED }
}

/// The outcome of an open [`from_cache`] with these flags, from its result: a descriptor or an
/// errno.
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
        // Not in the cache, another process's lease, a FIFO without a reader, or without this call.
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

/// openat2(2), or its errno.
fn openat2(at: RawFd, path: &CStr, how: &OpenHow) -> Result<OwnedFd, i32> {
    // SAFETY: a path that ends in a zero byte, and a structure of the size given.
    let fd = retried(|| unsafe {
        let (how, size) = (std::ptr::from_ref(how), size_of::<OpenHow>());
        libc::syscall(libc::SYS_openat2, at, path.as_ptr(), how, size) as isize
    });
    if fd < 0 {
        return Err(-fd);
    }
    // SAFETY: a new descriptor that no other code knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The status of an open file as the kernel has it, without asking a server.
pub(crate) fn stat_of(fd: BorrowedFd<'_>) -> Option<StatBuf> {
    /// A path that is not there is quicker than one that is empty, and older kernels refuse it:
    /// before Linux 6.11.
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
