//! Trying first, and waiting where the call would have blocked the thread.
//!
//! ```text
//! attempt ──▶ done, or an error                        one system call, as without this crate
//!    │ EAGAIN
//! F_GETFL ──▶ O_NONBLOCK: the program wants EAGAIN
//!    │
//! SO_RCVTIMEO, SO_SNDTIMEO ──▶ the limit
//!    │
//! wait for readiness (blocks the tasklet) ──▶ attempt again
//! ```
//!
//! The crate never changes the flags of a descriptor: other threads may use it at the same time. So
//! an attempt must be a call that cannot block whatever the flags are.
//!
//! Transfers on sockets without an address (recv, send, recvmsg) are the library's own calls
//! ([`overlapped::os::fd::raw`]), which follow the same steps with fewer system calls: an attempt
//! goes to the kernel in one batch with those of other tasklets, a receive that waits is one
//! operation of the port, and receives are not tried first while tries find nothing.

use std::ffi::{c_int, c_void};
use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use libc::iovec;
use overlapped::net::{wait_readable, wait_readable_timeout, wait_writable, wait_writable_timeout};
use overlapped::signal::interruptible;
use overlapped::task::{Cancelled, is_killed, shield};
use overlapped::time::{expired, sleep};
use overlapped::yield_now;

use crate::caller::Call;
use crate::duplicates::CallFile;
use crate::hooks::has_locked_stream;
use crate::raw::{AGAIN, BAD_DESCRIPTOR, CANCELED, INTERRUPTED, INVALID, IO};
use crate::raw::{Outcome, TIMED_OUT, call};
use crate::remainder::wait_within;

/// The event that a call waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    In,
    Out,
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

/// Blocks the tasklet until the descriptor is ready; `AGAIN` at the limit, `INTERRUPTED` by a
/// signal handler.
pub(crate) fn ready(
    call: &Call,
    fd: c_int,
    direction: Direction,
    limit: Option<Duration>,
) -> Outcome {
    if fd < 0 {
        return BAD_DESCRIPTOR;
    }
    call.count();
    // SAFETY: borrowed for this call. If the program closes a descriptor during the wait, Linux
    // keeps the wait for the file that the number named at the beginning.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let waited = interruptible(call.restart(limit.is_some()), || match (direction, limit) {
        (Direction::In, None) => wait_readable(fd).map(|()| true),
        (Direction::Out, None) => wait_writable(fd).map(|()| true),
        (Direction::In, Some(limit)) => wait_readable_timeout(fd, limit),
        (Direction::Out, Some(limit)) => wait_writable_timeout(fd, limit),
    });
    match waited {
        Ok(true) => 0,
        Ok(false) => AGAIN,
        Err(error) => error_number(&error),
    }
}

/// The pause of a call that repeatedly finds nothing although its descriptor is ready.
pub(crate) const SPURIOUS_PAUSE: Duration = Duration::from_millis(1);

/// Tries, waits until the descriptor is ready, and tries again, until the attempt is complete.
pub(crate) fn try_then_wait(
    call: &Call,
    fd: c_int,
    direction: Direction,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let first = attempt(fd);
    if first != AGAIN || is_nonblocking(fd) {
        return first;
    }
    wait_then_try(call, (fd, direction), &Limit::new(socket_limit(fd, direction)), attempt)
}

/// Waits until the descriptor is ready and tries, until the attempt is complete. `attempt` gets the
/// descriptor to use.
pub(crate) fn wait_then_try(
    call: &Call,
    (fd, direction): (c_int, Direction),
    end: &Limit,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let file = CallFile::new(fd);
    let fd = file.number();
    interruptible(call.restart(end.left().is_some()), || {
        wait_then_try_on(call, (fd, direction), end, || attempt(fd))
    })
}

fn wait_then_try_on(
    call: &Call,
    (fd, direction): (c_int, Direction),
    end: &Limit,
    attempt: impl Fn() -> Outcome,
) -> Outcome {
    let mut spurious = 0;
    loop {
        let is_ready = match ready(call, fd, direction, wait_within(fd, direction, end)) {
            0 => true,
            AGAIN => false,
            other => return other,
        };
        match attempt() {
            AGAIN => {}
            other => return other,
        }
        if direction == Direction::In && is_shut_down(fd) {
            // Data that came after the attempt precedes the end.
            let last = attempt();
            return if last == AGAIN { 0 } else { last };
        }
        if end.is_over() {
            return AGAIN;
        }
        spurious += u32::from(is_ready);
        if is_ready && spurious > 1 {
            // Other readers were quicker, or the descriptor is ready without effect: the receiving
            // queue of a datagram socket is full.
            sleep(SPURIOUS_PAUSE);
        }
    }
}

/// Tells whether a socket has been shut down for receiving. A Unix socket is then ready, and may
/// have nothing to receive for ever; the kernel reports the end only to a blocked thread.
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

/// A function that returns how long a transfer may wait. It is called only before a wait, or if the
/// transfer is not tried first.
pub(crate) type AskLimit<'a> = &'a dyn Fn() -> io::Result<Option<Duration>>;

/// Makes a transfer on a socket by the library's own call, an operation of the port. A kill or a
/// deadline that has come before ends waits only: `attempt` then does what it can without one. (Not
/// after a wait: the number may name another file by then.)
pub(crate) fn transfer_by_port(
    call: &Call,
    (fd, direction): (c_int, Direction),
    attempt: impl Fn() -> Outcome,
    transfer: impl FnOnce(BorrowedFd<'_>, AskLimit<'_>) -> io::Result<usize>,
) -> Outcome {
    if fd < 0 {
        return BAD_DESCRIPTOR;
    }
    if is_killed() || expired() || has_locked_stream() {
        let now = attempt();
        if now != AGAIN || is_nonblocking(fd) {
            return now;
        }
    }
    // SAFETY: borrowed for this call, as in `ready`.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let limit = || {
        if is_nonblocking(fd) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        call.count();
        Ok(socket_limit(fd, direction))
    };
    count_or_error(interruptible(call.restart(false), || transfer(socket, &limit)))
}

/// The common limit of several waits.
pub(crate) struct Limit(Option<Instant>);

impl Limit {
    pub(crate) fn new(limit: Option<Duration>) -> Limit {
        // A moment that cannot be represented is never reached.
        Limit(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    pub(crate) fn left(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }
}

/// Converts an error of the library to the kernel's form.
///
/// Code that does not know of kills may repeat the call after every error. A short pause with each
/// such error lets other tasklets run.
pub(crate) fn error_number(error: &io::Error) -> Outcome {
    const REST: Duration = Duration::from_millis(1);
    match Cancelled::of(error) {
        Some(Cancelled::Kill) => {
            shield(|| sleep(REST));
            return CANCELED;
        }
        Some(Cancelled::Deadline) => {
            yield_now();
            return TIMED_OUT;
        }
        _ => {}
    }
    if let Some(number) = error.raw_os_error() {
        return -(number as isize);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => TIMED_OUT,
        io::ErrorKind::WouldBlock => AGAIN,
        io::ErrorKind::Interrupted => INTERRUPTED,
        io::ErrorKind::InvalidInput => INVALID,
        _ => IO,
    }
}

/// Converts a byte count to the kernel's form.
pub(crate) fn count_or_error(result: io::Result<usize>) -> Outcome {
    match result {
        Ok(count) => isize::try_from(count).unwrap_or(isize::MAX),
        Err(error) => error_number(&error),
    }
}

/// Converts a byte count of a file to the kernel's form. A kill or a deadline ends only waits for
/// other parties, and a file's operation is none: if it was refused for that reason, `in_place`
/// makes it.
pub(crate) fn file_count_or_error(
    result: io::Result<usize>,
    in_place: impl FnOnce() -> Outcome,
) -> Outcome {
    match &result {
        Err(error) if Cancelled::of(error).is_some() => in_place(),
        _ => count_or_error(result),
    }
}

/// Makes a slice of a buffer of the caller's; an empty one of a null pointer.
///
/// # Safety
/// `len` bytes at `buf` are the caller's to lend for `'a`, for writing.
pub(crate) unsafe fn slice_mut<'a>(buf: *mut c_void, len: usize) -> &'a mut [u8] {
    let start = NonNull::new(buf.cast::<u8>()).unwrap_or(NonNull::dangling());
    let len = if buf.is_null() { 0 } else { len.min(isize::MAX as usize) };
    // SAFETY: the caller's promise; bytes of any value are initialised for the kernel.
    unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
}

/// Calls `call` with what is left of `slices` after `done` bytes, until nothing is left or a call
/// moves nothing. Returns the number of bytes moved.
pub(crate) fn transfer_slices(
    slices: &[iovec],
    done: Outcome,
    mut call: impl FnMut(&[iovec]) -> Outcome,
) -> Outcome {
    // The most slices for one call; the rest goes into further calls.
    const MOST: usize = 16;
    let mut total = done;
    let (mut next, mut offset) = (0, 0);
    let mut step = done as usize;
    loop {
        // Skips what has been moved.
        while next < slices.len() && step >= slices[next].iov_len - offset {
            step -= slices[next].iov_len - offset;
            (next, offset) = (next + 1, 0);
        }
        if next == slices.len() {
            return total;
        }
        offset += step;
        let mut rest = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MOST];
        let count = MOST.min(slices.len() - next);
        rest[..count].copy_from_slice(&slices[next..next + count]);
        rest[0].iov_base = rest[0].iov_base.wrapping_byte_add(offset);
        rest[0].iov_len -= offset;
        match call(&rest[..count]) {
            taken if taken > 0 => (step, total) = (taken as usize, total + taken),
            _ => return total,
        }
    }
}

/// Makes a slice of the caller's vector of buffers.
///
/// # Safety
/// `count` slices are the caller's to lend for `'a`.
pub(crate) unsafe fn slices_of<'a>(slices: *const iovec, count: c_int) -> &'a [iovec] {
    match usize::try_from(count) {
        Ok(count) if count > 0 && !slices.is_null() => {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(slices, count) }
        }
        _ => &[],
    }
}
