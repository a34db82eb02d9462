//! The remainder of a transfer. A blocking call of a stream moves all bytes, in several steps if
//! there is too little room or too few bytes have come. From the second step on, the call
//!
//! - returns what it has moved if it cannot go on: at the end of the stream, at its limit, after a
//!   signal handler (with `SA_RESTART` or without), at an error. The error stays in the socket for
//!   the next call;
//! - raises no SIGPIPE on a socket: the next call raises it.

use std::ffi::c_int;

use overlapped::signal::{Restart, interruptible};
use overlapped::time::sleep;

use crate::caller::Call;
use crate::duplicates::CallFile;
use crate::query::{Direction, is_shut_down, poll_now, socket_option};
use crate::raw::{AGAIN, IO, Outcome, call};
use crate::wait::{Limit, SPURIOUS_PAUSE, ready, wait_within};

const SIOCATMARK: c_int = 0x8905;

/// Makes the next step by `attempt`, which does not wait. The result is not positive if nothing
/// more can be moved. The step uses the file of the first one.
pub(crate) fn transfer_more(
    call: &Call,
    (file, direction): (&CallFile, Direction),
    end: &Limit,
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let fd = file.number();
    let attempt = || attempt(fd);
    let mut spurious = 0;
    interruptible(Restart::No, || {
        loop {
            if poll_now(fd, 0) & libc::POLLERR != 0 && is_socket(fd) {
                return IO;
            }
            if direction == Direction::In && is_at_mark(fd) {
                return AGAIN;
            }
            match attempt() {
                AGAIN => {}
                other => return other,
            }
            if direction == Direction::In && is_shut_down(fd) {
                // Data that came after the attempt precedes the end.
                return attempt();
            }
            if end.is_over() {
                return AGAIN;
            }
            match ready(call, fd, direction, wait_within(fd, direction, end)) {
                0 => spurious += 1,
                AGAIN => {}
                other => return other,
            }
            if spurious > 1 {
                // Ready without room: the receiving queue of a datagram socket is full.
                sleep(SPURIOUS_PAUSE);
            }
        }
    })
}

/// Tells whether the next byte is urgent data, at which a receive stops.
fn is_at_mark(fd: c_int) -> bool {
    let mut is_at_mark = 0 as c_int;
    // SAFETY: the kernel writes a number.
    let asked = unsafe { call!(ioctl, fd, SIOCATMARK, &raw mut is_at_mark) };
    asked == 0 && is_at_mark != 0
}

fn is_socket(fd: c_int) -> bool {
    socket_option(fd, libc::SO_TYPE).is_ok()
}
