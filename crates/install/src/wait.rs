//! Tries a call first, and waits if it would have blocked the thread.
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

use std::ffi::c_int;
use std::io;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use overlapped::net::{wait_readable, wait_readable_timeout, wait_writable, wait_writable_timeout};
use overlapped::signal::interruptible;
use overlapped::task::is_killed;
use overlapped::time::{expired, sleep};

use crate::caller::{Call, has_locked_stream};
use crate::duplicates::CallFile;
use crate::errors::{count_or_error, error_number};
use crate::query::{Direction, is_nonblocking, is_shut_down, socket_limit, socket_option};
use crate::raw::{AGAIN, BAD_DESCRIPTOR, Outcome};

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
            // Others were quicker, or the descriptor is ready although a call would block: the
            // peer's queue of a datagram socket is full.
            sleep(SPURIOUS_PAUSE);
        }
    }
}

/// The longest wait for room in a Unix socket. The kernel wakes a blocked thread if the socket or
/// its peer is shut down so that nothing can be sent any more, but signals no readiness.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Returns the limit of one wait of a call that lasts until `end`.
pub(crate) fn wait_within(fd: c_int, direction: Direction, end: &Limit) -> Option<Duration> {
    let left = end.left();
    match direction == Direction::Out && socket_option(fd, libc::SO_DOMAIN) == Ok(libc::AF_UNIX) {
        true => Some(left.map_or(RECHECK_INTERVAL, |left| left.min(RECHECK_INTERVAL))),
        false => left,
    }
}

/// A function that returns how long a transfer may wait. It is called only before a wait, or if the
/// transfer is not tried first.
pub(crate) type AskLimit<'a> = &'a dyn Fn() -> io::Result<Option<Duration>>;

/// Makes a transfer on a socket by the library's own call, an operation of the port. A kill or a
/// deadline ends only waits: if one has come before, `attempt` first does what needs no wait. (Not
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
