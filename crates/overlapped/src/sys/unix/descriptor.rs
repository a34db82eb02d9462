//! Calls that never wait, for the std-shaped rooms, by subject: sockets of all kinds
//! ([`socket`]), [`tcp`], [`udp`], [`unix`], several that connect ([`watch`]), pipes ([`splice`]).
//! Here: what any descriptor has, and the process.
//!
//! Everything is on borrowed descriptors and gives `io::Result` with std's kinds. Sockets made
//! here are close-on-exec and non-blocking from their first moment.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::errno::retried;
use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit};

/// A descriptor as a number, in operations, which own nothing.
pub(crate) type Raw = RawFd;

/// The descriptor from which relative paths lead, where no other one is named.
pub(crate) const WORKING_DIRECTORY: Raw = libc::AT_FDCWD;

/// Takes the descriptor that an operation has made: the value of its success.
///
/// # Safety
/// `value` is an open descriptor that nobody else knows.
pub(crate) unsafe fn from_value(value: usize) -> OwnedFd {
    // SAFETY: the caller's promise.
    unsafe { OwnedFd::from_raw_fd(value as RawFd) }
}

/// `O_NONBLOCK`.
pub(crate) fn nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK))
}

/// `O_NONBLOCK`.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let before = rustix::fs::fcntl_getfl(fd)?;
    let mut after = before;
    after.set(OFlags::NONBLOCK, on);
    if after != before {
        rustix::fs::fcntl_setfl(fd, after)?;
    }
    Ok(())
}

/// Another descriptor for the same open file, close-on-exec.
pub(crate) fn duplicate(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// An anonymous pipe: reading end, writing end. Close-on-exec, in blocking mode.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?)
}

/// Where the calling thread's errno is, as long as that thread lives.
pub(crate) fn errno_place() -> std::ptr::NonNull<i32> {
    // SAFETY: the call has no conditions.
    let place = unsafe { libc::__errno_location() };
    std::ptr::NonNull::new(place).expect("errno has a place")
}

/// Has `f` called in every child of fork(2), by the thread that forked.
///
/// `f` is called where little is allowed: it must be async-signal-safe (pthread_atfork(3)).
pub(crate) fn in_fork_children(f: extern "C" fn()) {
    if cfg!(miri) {
        return; // It has no fork.
    }
    // SAFETY: `f` is a function of the right type that stays for ever. Failure, for want of memory,
    // leaves children as they would be without it.
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

/// What a descriptor stands for, as far as waiting goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Always ready: regular file, directory, block device.
    Disk,
    /// A socket.
    Socket,
    /// Pipe, terminal, eventfd and so on.
    Stream,
}

/// What `fd` stands for, or an errno.
pub(crate) fn kind(fd: RawFd) -> Result<Kind, i32> {
    identity(fd).map(|(kind, _)| kind)
}

/// What `fd` stands for, and the device and number of its file; or an errno.
pub(crate) fn identity(fd: RawFd) -> Result<(Kind, (u64, u64)), i32> {
    let mut stat = MaybeUninit::<libc::stat64>::uninit();
    // SAFETY: `stat` is valid for writes.
    let failed = retried(|| unsafe { libc::fstat64(fd, stat.as_mut_ptr()) as isize });
    if failed < 0 {
        return Err(-failed);
    }
    // SAFETY: fstat succeeded and so has filled it.
    let stat = unsafe { stat.assume_init() };
    let kind = match stat.st_mode & libc::S_IFMT {
        libc::S_IFREG | libc::S_IFDIR | libc::S_IFBLK => Kind::Disk,
        libc::S_IFSOCK => Kind::Socket,
        _ => Kind::Stream,
    };
    Ok((kind, (stat.st_dev, stat.st_ino)))
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
