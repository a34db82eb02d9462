//! Calls that never wait, for the std-shaped rooms, by subject: sockets of all kinds
//! ([`socket`]), [`tcp`], [`udp`], [`unix`], several that connect ([`watch`]), pipes ([`splice`]).
//! Here: what any descriptor has, and the process.
//!
//! Everything is on borrowed descriptors and gives `io::Result` with std's kinds. Sockets made
//! here are close-on-exec and non-blocking from their first moment.

pub(crate) mod raw;
pub(crate) mod socket;
pub(crate) mod splice;
pub(crate) mod tcp;
pub(crate) mod udp;
pub(crate) mod unix;
pub(crate) mod watch;

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::pipe::PipeFlags;
use rustix::process::{Resource, Rlimit};

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

#[cfg(test)]
mod tests {
    use super::*;
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
