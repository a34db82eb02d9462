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
//! The flags of a descriptor are never changed: other threads may use it at the same time. So every
//! attempt must be one that cannot block whatever the flags are.
//!
//! Transfers on sockets without a name (recv, send, recvmsg) are the library's own calls
//! ([`overlapped::os::fd::raw`]), which go the same way with fewer system calls: an attempt goes in
//! one batch with those of neighbours, a receive that waits is one operation of the port's, and
//! receives are not attempted first while attempts find nothing.

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
use crate::held::File;
use crate::hooks::holds_stream;
use crate::parts::wait_within;
use crate::raw::{AGAIN, BAD_DESCRIPTOR, CANCELED, INTERRUPTED, INVALID, IO};
use crate::raw::{Outcome, TIMED_OUT, call};

/// The event that a call waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// Tells whether the program has asked for EAGAIN.
pub(crate) fn is_nonblocking(fd: c_int) -> bool {
    // SAFETY: reads flags.
    let flags = unsafe { call!(fcntl, fd, libc::F_GETFL) };
    flags >= 0 && flags & libc::O_NONBLOCK as isize != 0
}

/// The socket's own limit for a call.
pub(crate) fn limit_of(fd: c_int, way: Way) -> Option<Duration> {
    let option = if way == Way::In { libc::SO_RCVTIMEO } else { libc::SO_SNDTIMEO };
    let mut limit = libc::timeval { tv_sec: 0, tv_usec: 0 };
    let mut len = size_of::<libc::timeval>() as libc::socklen_t;
    // SAFETY: the kernel writes `len` bytes at most.
    let read =
        unsafe { call!(getsockopt, fd, libc::SOL_SOCKET, option, &raw mut limit, &raw mut len) };
    let limit = Duration::new(
        u64::try_from(limit.tv_sec).unwrap_or(0),
        u32::try_from(limit.tv_usec).unwrap_or(0) * 1000,
    );
    // ENOTSOCK: what is no socket has no limit.
    (read == 0 && !limit.is_zero()).then_some(limit)
}

/// Blocks the tasklet until the descriptor is ready; `AGAIN` at the limit, `INTERRUPTED` by a
/// signal handler.
pub(crate) fn ready(call: &Call, fd: c_int, way: Way, limit: Option<Duration>) -> Outcome {
    if fd < 0 {
        return BAD_DESCRIPTOR;
    }
    call.count();
    // SAFETY: lent for this call. A program that closes a descriptor which it waits for has the
    // wait that Linux gives it: one for whatever the number stood for at the beginning.
    let fd = unsafe { BorrowedFd::borrow_raw(fd) };
    let waited = interruptible(call.restart(limit.is_some()), || match (way, limit) {
        (Way::In, None) => wait_readable(fd).map(|()| true),
        (Way::Out, None) => wait_writable(fd).map(|()| true),
        (Way::In, Some(limit)) => wait_readable_timeout(fd, limit),
        (Way::Out, Some(limit)) => wait_writable_timeout(fd, limit),
    });
    match waited {
        Ok(true) => 0,
        Ok(false) => AGAIN,
        Err(error) => number_of(&error),
    }
}

/// The rest of a call that finds nothing time and again, though its descriptor is ready.
pub(crate) const IN_VAIN_PAUSE: Duration = Duration::from_millis(1);

/// Attempts, and waits as often as there is nothing to be had.
pub(crate) fn patiently(
    call: &Call,
    fd: c_int,
    way: Way,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let first = attempt(fd);
    if first != AGAIN || is_nonblocking(fd) {
        return first;
    }
    when_ready(call, (fd, way), &Limit::new(limit_of(fd, way)), attempt)
}

/// Attempts whenever the descriptor is ready, until there is something to be had. `attempt` is
/// given the number of the file that it is made on.
pub(crate) fn when_ready(
    call: &Call,
    (fd, way): (c_int, Way),
    end: &Limit,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let file = File::new(fd);
    let fd = file.number();
    interruptible(call.restart(end.left().is_some()), || {
        attempts_when_ready(call, (fd, way), end, || attempt(fd))
    })
}

fn attempts_when_ready(
    call: &Call,
    (fd, way): (c_int, Way),
    end: &Limit,
    attempt: impl Fn() -> Outcome,
) -> Outcome {
    let mut in_vain = 0;
    loop {
        let is_ready = match ready(call, fd, way, wait_within(fd, way, end)) {
            0 => true,
            AGAIN => false,
            other => return other,
        };
        match attempt() {
            AGAIN => {}
            other => return other,
        }
        if way == Way::In && is_shut_down(fd) {
            // What has come before the end, and after the attempt, comes first.
            let last = attempt();
            return if last == AGAIN { 0 } else { last };
        }
        if end.is_over() {
            return AGAIN;
        }
        in_vain += u32::from(is_ready);
        if is_ready && in_vain > 1 {
            // Others are quicker, or what is ready has nothing: the receiver of a datagram is full.
            sleep(IN_VAIN_PAUSE);
        }
    }
}

/// Tells whether a socket takes nothing more. Those of the Unix family are ready then, and may have
/// nothing for a receive for ever; a thread is told of the end.
pub(crate) fn is_shut_down(fd: c_int) -> bool {
    polled(fd, libc::POLLRDHUP) & libc::POLLRDHUP != 0
}

/// The answer of poll(2) for a descriptor now, if it is asked for `events`.
pub(crate) fn polled(fd: c_int, events: i16) -> i16 {
    let mut asked = libc::pollfd { fd, events, revents: 0 };
    let now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: one entry, and a time; both are this frame's.
    let count = unsafe { call!(ppoll, &raw mut asked, 1, &raw const now, 0, 0) };
    if count > 0 { asked.revents } else { 0 }
}

/// The question for how long a transfer may wait. It is asked only where that would wait, or is not
/// tried first.
pub(crate) type AskLimit<'a> = &'a dyn Fn() -> io::Result<Option<Duration>>;

/// Makes a transfer on a socket by the library's own call: an operation of the port's. A kill or a
/// deadline that has come before ends waits only: what `attempt` can do without one is done. (Not
/// after a wait: the number may stand for another file by then.)
pub(crate) fn transferred(
    call: &Call,
    (fd, way): (c_int, Way),
    attempt: impl Fn() -> Outcome,
    transfer: impl FnOnce(BorrowedFd<'_>, AskLimit<'_>) -> io::Result<usize>,
) -> Outcome {
    if fd < 0 {
        return BAD_DESCRIPTOR;
    }
    if is_killed() || expired() || holds_stream() {
        let now = attempt();
        if now != AGAIN || is_nonblocking(fd) {
            return now;
        }
    }
    // SAFETY: lent for this call, as in `ready`.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let limit = || {
        if is_nonblocking(fd) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        call.count();
        Ok(limit_of(fd, way))
    };
    count_of(interruptible(call.restart(false), || transfer(socket, &limit)))
}

/// A limit of several waits together.
pub(crate) struct Limit(Option<Instant>);

impl Limit {
    pub(crate) fn new(limit: Option<Duration>) -> Limit {
        // One that cannot be represented is never reached.
        Limit(limit.and_then(|limit| Instant::now().checked_add(limit)))
    }

    pub(crate) fn left(&self) -> Option<Duration> {
        self.0.map(|end| end.saturating_duration_since(Instant::now()))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }
}

/// An error of the library as the kernel's.
///
/// Code that does not know of kills may call again and again, whatever it is told. So that it does
/// not keep its neighbours from running, it rests a moment with each such error.
pub(crate) fn number_of(error: &io::Error) -> Outcome {
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

/// A byte count as the kernel's.
pub(crate) fn count_of(result: io::Result<usize>) -> Outcome {
    match result {
        Ok(count) => isize::try_from(count).unwrap_or(isize::MAX),
        Err(error) => number_of(&error),
    }
}

/// A byte count of a file's as the kernel's. A kill or a deadline ends waits for others, of which
/// this was none: where it has refused the operation, `in_place` makes it.
pub(crate) fn count_of_file(
    result: io::Result<usize>,
    in_place: impl FnOnce() -> Outcome,
) -> Outcome {
    match &result {
        Err(error) if Cancelled::of(error).is_some() => in_place(),
        _ => count_of(result),
    }
}

/// A buffer of the caller's as a slice; of zero bytes, where it points to nothing.
///
/// # Safety
/// `len` bytes at `buf` are the caller's to lend for `'a`, for writing.
pub(crate) unsafe fn slice_mut<'a>(buf: *mut c_void, len: usize) -> &'a mut [u8] {
    let start = NonNull::new(buf.cast::<u8>()).unwrap_or(NonNull::dangling());
    let len = if buf.is_null() { 0 } else { len.min(isize::MAX as usize) };
    // SAFETY: the caller's promise; bytes of any value are initialised for the kernel.
    unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
}

/// Hands over what is left of `slices` after `done` bytes, until there is nothing left or a call
/// does not take anything; all that was taken.
pub(crate) fn all_slices(
    slices: &[iovec],
    done: Outcome,
    mut call: impl FnMut(&[iovec]) -> Outcome,
) -> Outcome {
    // As many as the kernel takes.
    const MOST: usize = 16;
    let mut total = done;
    let (mut next, mut offset) = (0, 0);
    let mut step = done as usize;
    loop {
        // Over what has been taken.
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

/// The caller's slices.
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
