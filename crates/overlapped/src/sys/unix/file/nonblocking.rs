//! What the kernel knows without asking a disk or a server.

use std::ffi::{CStr, c_char};
use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::copy::mode_may_wait;
use super::status::{OpenHow, STAT_MASK, StatBuf};
use crate::sys::descriptor::{self, Kind};
use crate::sys::errno::retried;

/// What a descriptor stands for, as far as transfers go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    /// Regular file, directory, block device: always ready; transfers at the cursor queue.
    Disk {
        /// Past the page cache (`O_DIRECT`).
        direct: bool,
        /// Writes go to the end (`O_APPEND`).
        append: bool,
    },
    /// A socket, although it is called a file.
    Socket,
    /// FIFO, terminal, other device.
    Stream,
}

/// What `fd` stands for.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<FileKind> {
    match descriptor::kind(fd.as_raw_fd()).map_err(io::Error::from_raw_os_error)? {
        Kind::Disk => {
            let flags = flags(fd)?;
            let (direct, append) = (flags & libc::O_DIRECT != 0, flags & libc::O_APPEND != 0);
            Ok(FileKind::Disk { direct, append })
        }
        Kind::Socket => Ok(FileKind::Socket),
        Kind::Stream => Ok(FileKind::Stream),
    }
}

/// The file's status flags (`F_GETFL`).
pub(crate) fn flags(fd: BorrowedFd<'_>) -> io::Result<i32> {
    // SAFETY: an open descriptor; no pointers.
    check(retried(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFL) } as isize))
}

/// Moves the cursor.
pub(crate) fn seek(fd: BorrowedFd<'_>, to: SeekFrom) -> io::Result<u64> {
    let (offset, whence) = match to {
        // As std: what does not fit becomes negative, and an error.
        SeekFrom::Start(offset) => (offset as i64, libc::SEEK_SET),
        SeekFrom::End(offset) => (offset, libc::SEEK_END),
        SeekFrom::Current(offset) => (offset, libc::SEEK_CUR),
    };
    // SAFETY: an open descriptor; no pointers.
    let at = unsafe { libc::lseek64(fd.as_raw_fd(), offset, whence) };
    u64::try_from(at).map_err(|_| io::Error::last_os_error())
}

/// Where the file was when it was opened, as /proc tells; for people.
pub(crate) fn path_of(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()
}

/// flock(2) without waiting.
pub(crate) fn try_lock(fd: BorrowedFd<'_>, how: Lock) -> io::Result<()> {
    // SAFETY: an open descriptor; no pointers.
    check(retried(|| unsafe { libc::flock(fd.as_raw_fd(), how.flags() | libc::LOCK_NB) } as isize))
        .map(drop)
}

/// What flock(2) is to do.
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

/// What stands under a path, as far as the kernel's cache of names tells.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::large_enum_variant, reason = "looked at once, where it was returned to")]
pub(crate) enum Cached {
    /// This.
    Found(StatBuf),
    /// Nothing, or nothing that can be reached: an errno.
    Failed(i32),
    /// The disk, or a server, would have to be asked.
    Unknown,
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

/// What came of [`open_cached`].
#[derive(Debug)]
pub(crate) enum Opened {
    /// A file, a directory or a block device.
    File(OwnedFd, FileKind),
    /// Something that another open might have waited for: a FIFO or a device. It may be open in
    /// non-blocking mode.
    Early(OwnedFd),
    /// Nothing could have been opened: an errno.
    Failed(i32),
    /// Not to be found out without waiting.
    Unknown,
}

/// Opens `path` if the kernel's cache of names leads there, and waits for nobody. Makes nothing and
/// empties nothing, so `flags` must ask for neither, nor for non-blocking mode.
pub(crate) fn open_cached(path: &CStr, flags: i32) -> Opened {
    // So that a FIFO does not wait.
    let how = from_cache(flags | libc::O_NONBLOCK);
    match opened(openat2(libc::AT_FDCWD, path, &how), flags) {
        Opened::File(fd, _) if set_flags(fd.as_fd(), flags).is_err() => Opened::Unknown,
        opened => opened,
    }
}

/// How to open what the kernel's cache of names leads to. (The ring adds non-blocking mode by
/// itself, and takes it away again.)
pub(crate) fn from_cache(flags: i32) -> OpenHow {
    OpenHow { flags: flags as u64, mode: 0, resolve: libc::RESOLVE_CACHED }
}

/// What an open [`from_cache`] with these flags has come to: a descriptor or an errno.
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
        // Not in the cache, somebody's lease, a FIFO without a reader, or without this call.
        Err(_) => return Opened::Unknown,
    };
    let Some(stat) = stat_of(fd.as_fd()) else {
        return Opened::Unknown;
    };
    if mode_may_wait(stat.mode.into()) {
        return Opened::Early(fd);
    }
    let (direct, append) = (flags & libc::O_DIRECT != 0, flags & libc::O_APPEND != 0);
    Opened::File(fd, FileKind::Disk { direct, append })
}

/// Changes the file's status flags (`F_SETFL`).
pub(super) fn set_flags(fd: BorrowedFd<'_>, flags: i32) -> io::Result<()> {
    // SAFETY: an open descriptor; no pointers.
    check(retried(|| unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags) } as isize))
        .map(drop)
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
    // SAFETY: a new descriptor that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether what the kernel has is all there is: the file lies on a disk of this machine, not with
/// a server that might know better. (Those, and some others, have no device.)
pub(crate) fn is_local(stat: &StatBuf) -> bool {
    stat.dev_major != 0
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
        retried(|| unsafe {
            let out = (&raw mut out).cast();
            libc::statx(fd.as_raw_fd(), path, flags, STAT_MASK, out) as isize
        })
    };
    if !NEEDS_PATH.load(Relaxed) {
        match stat(std::ptr::null()) {
            errno if errno == -libc::EFAULT => NEEDS_PATH.store(true, Relaxed),
            result => return (result == 0).then_some(out),
        }
    }
    (stat(c"".as_ptr()) == 0).then_some(out)
}

pub(super) fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}
