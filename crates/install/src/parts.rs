//! The parts of a transfer after its first one. A blocking call of a stream moves all of it, in
//! several parts where there is too little room or too few bytes; from the second on it
//!
//! - gives what it has moved where it cannot go on: at the end, at its limit, after a signal
//!   handler of either kind, at an error, which stays the socket's for the next call;
//! - raises no SIGPIPE on a socket: the next call does.

use std::ffi::c_int;
use std::time::Duration;

use overlapped::signal::{Restart, interruptible};
use overlapped::time::sleep;

use crate::caller::Call;
use crate::held::File;
use crate::raw::{AGAIN, IO, Outcome, call};
use crate::wait::{IN_VAIN_PAUSE, Limit, Way, is_shut_down, polled, ready};

/// The longest wait for room in a socket of the Unix family. Nobody is told when such a socket or
/// its peer is shut down so that nothing can be sent any more; a thread that waits is.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

const SIOCATMARK: c_int = 0x8905;

/// Makes the next part by `attempt`, which does not wait; what is not positive says that there is
/// none. It is made on the file of the first part.
pub(crate) fn next_part(
    call: &Call,
    (file, way): (&File, Way),
    end: &Limit,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let fd = file.number();
    let attempt = || attempt(fd);
    let mut in_vain = 0;
    interruptible(Restart::No, || {
        loop {
            if polled(fd, 0) & libc::POLLERR != 0 && is_socket(fd) {
                return IO;
            }
            if way == Way::In && is_at_mark(fd) {
                return AGAIN;
            }
            match attempt() {
                AGAIN => {}
                other => return other,
            }
            if way == Way::In && is_shut_down(fd) {
                // What has come before the end, and after the attempt, comes first.
                return attempt();
            }
            if end.is_over() {
                return AGAIN;
            }
            match ready(call, fd, way, wait_within(fd, way, end)) {
                0 => in_vain += 1,
                AGAIN => {}
                other => return other,
            }
            if in_vain > 1 {
                // Ready, and yet there is no room: the receiver of a datagram is full.
                sleep(IN_VAIN_PAUSE);
            }
        }
    })
}

/// The limit of one wait, of several up to `end`.
pub(crate) fn wait_within(fd: c_int, way: Way, end: &Limit) -> Option<Duration> {
    let left = end.left();
    match way == Way::Out && option(fd, libc::SO_DOMAIN) == Ok(libc::AF_UNIX) {
        true => Some(left.map_or(LOOK_AGAIN, |left| left.min(LOOK_AGAIN))),
        false => left,
    }
}

/// Tells whether urgent data comes next, which a receive does not go beyond.
fn is_at_mark(fd: c_int) -> bool {
    let mut is_at_mark = 0 as c_int;
    // SAFETY: the kernel writes a number.
    let asked = unsafe { call!(ioctl, fd, SIOCATMARK, &raw mut is_at_mark) };
    asked == 0 && is_at_mark != 0
}

fn is_socket(fd: c_int) -> bool {
    option(fd, libc::SO_TYPE).is_ok()
}

/// An option of a socket; the error number where there is none.
pub(crate) fn option(fd: c_int, name: c_int) -> Result<c_int, Outcome> {
    let (mut value, mut len) = (0 as c_int, size_of::<c_int>() as libc::socklen_t);
    // SAFETY: the kernel writes `len` bytes at most.
    let read =
        unsafe { call!(getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut len) };
    if read < 0 { Err(read) } else { Ok(value) }
}
