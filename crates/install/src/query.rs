//! Queries of a descriptor, none of which waits: its file's type, its flags, its limits, its
//! options, its readiness.

use std::ffi::c_int;
use std::time::Duration;

use crate::raw::{Outcome, call};

/// The event that a call waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
}

/// Returns the type of a descriptor's file, as in `st_mode`; 0 if it has none (an eventfd).
pub(crate) fn file_type(fd: c_int) -> u32 {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel fills it, or leaves zeros.
    let stat = unsafe {
        call!(fstat, fd, stat.as_mut_ptr());
        stat.assume_init()
    };
    stat.st_mode & libc::S_IFMT
}

/// Tells whether a file of this type waits for the disk only.
pub(crate) fn is_on_disk(file_type: u32) -> bool {
    matches!(file_type, libc::S_IFREG | libc::S_IFBLK | libc::S_IFDIR)
}

/// Tells whether the program has asked for EAGAIN.
pub(crate) fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: reads flags.
    let flags = unsafe { call!(fcntl, fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK as isize != 0
}

/// Returns the socket's own time limit for a call.
pub(crate) fn socket_limit(fd: c_int, direction: Direction) -> Option<Duration> {
    let option = if direction == Direction::In { libc::SO_RCVTIMEO } else { libc::SO_SNDTIMEO };
    let mut limit = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut len = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the kernel writes `len` bytes at most.
    let read =
        unsafe { call!(getsockopt, fd, libc::SOL_SOCKET, option, &raw mut limit, &raw mut len) };
    let limit = Duration::new(
        u64::try_from(limit.tv_sec).unwrap_or(0),
        u32::try_from(limit.tv_usec).unwrap_or(0) * 1000,
    );
    // ENOTSOCK: only sockets have limits.
    (read == 0 && !limit.is_zero()).then_some(limit)
}

/// Reads an option of a socket, or returns the error.
pub(crate) fn socket_option(fd: c_int, name: c_int) -> Result<c_int, Outcome> {
    let (mut value, mut len) = (0 as c_int, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes `len` bytes at most.
    let read =
        unsafe { call!(getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut len) };
    if read < 0 { Err(read) } else { Ok(value) }
}

/// Tells whether a socket has been shut down for receiving. A Unix socket may then be ready for
/// ever, although each attempt finds nothing: the kernel reports the end only to a blocked thread.
pub(crate) fn is_shut_down(fd: c_int) -> bool {
    poll_now(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0
}

/// Returns what poll(2) reports for a descriptor now, asked for `events`.
pub(crate) fn poll_now(fd: c_int, events: i16) -> i16 {
    let mut asked = libc::pollfd { fd, events, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one entry and a time, both in this frame.
    let count = unsafe { call!(ppoll, &raw mut asked, 1, &raw const now, 0, 0) };
    if count > 0 { asked.revents } else { 0 }
}
