//! One splice, made on a thread that may wait for it, and the wait for a side that is not ready.

use std::io;
use std::os::fd::AsRawFd;

use super::end::{End, with_cursors};
use super::error::{Failure, Side};
use crate::descriptor;
use crate::op::{Fs, Op, clamp};
use crate::sys;
use crate::sys::errno;
use crate::sys::readiness::Interest;
use crate::sys::signal::sigpipe;
use crate::sys::socket;
use crate::sys::splice;
use crate::sys::splice::Kind;
use crate::task::wait::{perform, perform_now};
use crate::task::{in_tasklet, port_does, unblock_to_end};
use crate::time::deadline_in;

/// The outcome of a splice.
pub(super) enum Step {
    /// It has moved this many bytes; 0 at the source's end.
    Moved(usize),
    /// A pipe or a socket was not ready.
    Blocked,
    /// The kernel cannot splice between these two.
    Unsupported,
}

/// Moves at most `len` bytes once. One of the ends is a pipe.
pub(super) fn splice_step(from: &End<'_>, to: &End<'_>, len: usize) -> Result<Step, Failure> {
    let on_disk = from.is_file() || to.is_file();
    let (raw, len) = ((from.fd.as_raw_fd(), to.fd.as_raw_fd()), clamp(len));
    let op = Op::Fs(Fs::Splice { from: raw.0, to: raw.1, len, on_disk });
    let splice = || {
        if on_disk && in_tasklet() && !port_does(&op) {
            return by_pool(from, to, len as usize);
        }
        // SAFETY: both descriptors are borrowed until this returns; no memory is involved.
        unsafe { perform(&op, None) }
    };
    match with_cursors([from, to], splice) {
        Ok(moved) => Ok(Step::Moved(moved)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Step::Blocked),
        // The fallback, reading and writing, returns the error if there is one.
        Err(error) if errno::says_no_splice(&error) => Ok(Step::Unsupported),
        Err(error) => Err(Failure::of(side_of(from, &error), error)),
    }
}

/// Returns the side to which an error belongs. A pipe has no error of its own, except that it has
/// no reader any more.
fn side_of(from: &End<'_>, error: &io::Error) -> Side {
    if from.kind == Kind::Pipe || errno::says_no_reader(error) { Side::Sink } else { Side::Source }
}

fn by_pool(from: &End<'_>, to: &End<'_>, len: usize) -> io::Result<usize> {
    let (from, to) = (sys::descriptor::duplicate(from.fd)?, sys::descriptor::duplicate(to.fd)?);
    unblock_to_end(move || {
        let _guard = sigpipe::block();
        splice::splice_now(from, to, len)
    })
}

/// Waits until `end` is ready, or may be worth another try, for as long as the limit of `end`
/// allows.
pub(super) fn wait_for(end: &End<'_>, side: Side) -> Result<(), Failure> {
    let until = end.limit.map(deadline_in);
    let waited = match side {
        Side::Source => descriptor::wait_ready(end.fd, Interest::Readable, until),
        Side::Sink => wait_for_room(end, until),
    };
    waited.map_err(|error| Failure::of(side, error))
}

/// Waits until a sink has room, or the next splice fails. It does not return in between: the next
/// wait would begin with a new limit.
fn wait_for_room(end: &End<'_>, until: Option<u64>) -> io::Result<()> {
    while !descriptor::wait_writable(end.fd, until)? {
        if socket::is_shut_down_for_writing(end.fd) {
            break;
        }
    }
    Ok(())
}

/// Waits for the side that is not ready. Returns false if both are ready.
pub(super) fn wait_for_either(from: &End<'_>, to: &End<'_>) -> Result<bool, Failure> {
    for (end, side) in [(from, Side::Source), (to, Side::Sink)] {
        if !end.is_file() && !is_ready(end, side) {
            wait_for(end, side)?;
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_ready(end: &End<'_>, side: Side) -> bool {
    let interest = match side {
        Side::Source => Interest::Readable,
        Side::Sink => Interest::Writable,
    };
    let ready = Op::ready(end.fd.as_raw_fd(), interest);
    // SAFETY: the descriptor is borrowed until this returns; no memory is involved.
    unsafe { perform_now(&ready) }.is_ok()
}
