//! Calls on any descriptor (mode, duplicates, kind of file), pipes, and state of the process
//! (errno, children of fork, limit on descriptors). None of these calls waits.
//!
//! Calls on borrowed descriptors give `io::Result` with std's kinds. Pipes made here are
//! close-on-exec.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::errno::retried;
use super::file::mode;
use crate::sys::native;
use crate::sys::native::abi::mode_bits;
use rustix::fs::OFlags;
use rustix::process::{Resource, Rlimit};

/// A descriptor as a plain number, for operations, which own nothing.
pub(crate) type Raw = RawFd;

/// The descriptor of the directory against which paths are resolved if no other one is named.
pub(crate) const WORKING_DIRECTORY: Raw = libc::AT_FDCWD;

/// Takes ownership of the descriptor that a successful operation has returned.
///
/// # Safety
/// `value` is an open descriptor that no other code knows.
pub(crate) unsafe fn from_value(value: usize) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(value as RawFd) }
}

/// Tells whether `O_NONBLOCK` is set.
pub(crate) fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// Sets or clears `O_NONBLOCK`.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let before = rustix::fs::fcntl_getfl(fd)?;
    let mut after = before;
    after.set(OFlags::NONBLOCK, on);
    if after != before {
        rustix::fs::fcntl_setfl(fd, after)?;
    }
    Ok(())
}

/// Makes another descriptor for the same open file, close-on-exec.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// Makes an anonymous pipe: reading end, writing end. Close-on-exec, in blocking mode.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    native::abi::pipe(false)
}

/// Returns the address of the calling thread's errno, which is valid as long as the thread lives.
pub(crate) fn errno_place() -> std::ptr::NonNull<i32> {
    std::ptr::NonNull::new(native::abi::errno_location()).expect("errno has a place")
}

/// Registers `f`, which is called in every child of fork(2), by the thread that forked.
///
/// `f` is called where little is allowed: it must be async-signal-safe (pthread_atfork(3)).
pub(crate) fn in_fork_children(f: extern "C" fn()) {
    if cfg!(miri) {
        return; // Miri has no fork.
    }
    // SAFETY: `f` is a function of the right type that stays for ever. If it fails for want of
    // memory, children are as they would be without this call.
    let _ = unsafe { libc::pthread_atfork(None, None, Some(f)) };
}

/// Raises the soft limit on open descriptors to the hard one and returns both, as they are now.
pub fn raise_fd_limit() -> io::Result<(u64, u64)> {
    let Rlimit { current, maximum } = rustix::process::getrlimit(Resource::Nofile);
    if current != maximum {
        let wanted = Rlimit { current: maximum, maximum };
        rustix::process::setrlimit(Resource::Nofile, wanted)?;
    }
    let maximum = maximum.unwrap_or(u64::MAX);
    Ok((maximum, maximum))
}

/// The kind of a descriptor's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file or a block device: has a cursor, and never waits but for the disk.
    File,
    Directory,
    Socket,
    /// A pipe or a FIFO.
    Pipe,
    /// A terminal or another device.
    CharDevice,
    /// eventfd and so on.
    Other,
}

impl Kind {
    /// Tells whether it is always ready in poll(2)'s sense.
    pub(crate) fn is_disk(self) -> bool {
        matches!(self, Kind::File | Kind::Directory)
    }
}

/// The identity of a descriptor's file. Two files with the same number on the same device are one
/// file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) kind: Kind,
    pub(crate) device: u64,
    pub(crate) inode: u64,
}

/// Returns the kind of `fd`, or an errno.
pub(crate) fn kind(fd: RawFd) -> Result<Kind, i32> {
    identity(fd).map(|identity| identity.kind)
}

/// Returns the identity of the file of `fd`, or an errno.
pub(crate) fn identity(fd: RawFd) -> Result<Identity, i32> {
    let mut stat = MaybeUninit::<native::abi::stat>::uninit();
    // SAFETY: `stat` is valid for writes.
    let failed = retried(|| unsafe { native::abi::fstat(fd, stat.as_mut_ptr()) as isize });
    if failed < 0 {
        return Err(-failed);
    }
    // SAFETY: fstat succeeded and so has filled it.
    let stat = unsafe { stat.assume_init() };
    let kind = match mode_bits(stat.st_mode) & mode::FORMAT {
        mode::REGULAR | mode::BLOCK_DEVICE => Kind::File,
        mode::DIRECTORY => Kind::Directory,
        mode::SOCKET => Kind::Socket,
        mode::FIFO => Kind::Pipe,
        mode::CHAR_DEVICE => Kind::CharDevice,
        _ => Kind::Other,
    };
    // The types differ between systems.
    Ok(Identity { kind, device: stat.st_dev as _, inode: stat.st_ino as _ })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::{self, tcp};
    use std::os::fd::AsFd;

    #[test]
    fn sockets_are_non_blocking_and_close_on_exec_from_the_start() {
        let listener = tcp::listener(&"127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = socket::local_addr(listener.as_fd()).unwrap();
        let stream = tcp::stream(&addr).unwrap();
        for fd in [&listener, &stream] {
            assert!(nonblocking(fd.as_fd()).unwrap());
            let flags = rustix::io::fcntl_getfd(fd).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn the_flag_for_blocking_comes_and_goes() {
        let stream = tcp::stream(&"[::1]:9".parse().unwrap()).unwrap();
        set_nonblocking(stream.as_fd(), false).unwrap();
        assert!(!nonblocking(stream.as_fd()).unwrap());
        set_nonblocking(stream.as_fd(), true).unwrap();
        assert!(nonblocking(duplicate(stream.as_fd()).unwrap().as_fd()).unwrap());
    }

    #[test]
    fn the_limit_on_descriptors_is_raised_to_the_hard_one() {
        let (soft, hard) = raise_fd_limit().unwrap();
        assert_eq!(soft, hard);
        assert_eq!(rustix::process::getrlimit(Resource::Nofile).current, Some(soft));
    }
}
