//! One splice, done by whoever may wait for it, and the wait for a side that was not ready.

use std::io;
use std::os::fd::AsRawFd;

use super::{End, Failure, Side, in_turn};
use crate::op::{Fs, Op, clamp};
use crate::sys::descriptor;
use crate::sys::readiness::Interest;
use crate::sys::signal::sigpipe;
use crate::sys::splice;
use crate::sys::splice::Kind;
use crate::task::wait::{perform, perform_now};
use crate::task::{in_tasklet, port_waits_for_disks, unblock_to_end};
use crate::time::deadline_in;

/// What came of a splice.
pub(super) enum Leg {
    /// So many bytes; 0 at the source's end.
    Moved(usize),
    /// A pipe or a socket was not ready.
    Blocked,
    /// The kernel cannot splice between these two.
    Unfit,
}

/// Moves at most `len` bytes once. One of the ends is a pipe.
pub(super) fn leg(from: &End<'_>, to: &End<'_>, len: usize) -> Result<Leg, Failure> {
    let on_disk = from.is_file() || to.is_file();
    let (raw, len) = ((from.fd.as_raw_fd(), to.fd.as_raw_fd()), clamp(len));
    let op = Op::Fs(Fs::Splice { from: raw.0, to: raw.1, len, on_disk });
    let splice = || {
        if on_disk && in_tasklet() && !port_waits_for_disks(&op) {
            return in_the_pool(from, to, len as usize);
        }
        // SAFETY: both descriptors are borrowed until this returns; there is no memory.
        unsafe { perform(&op, None) }
    };
    match in_turn([from, to], splice) {
        Ok(moved) => Ok(Leg::Moved(moved)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Leg::Blocked),
        Err(error) => match error.raw_os_error() {
            // A file to append to, a device, a mode: reading and writing will tell.
            Some(
                libc::EINVAL
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::EBADF
                | libc::ESPIPE
                | libc::EXDEV,
            ) => Ok(Leg::Unfit),
            errno => Err(Failure::of(side_of(from, errno), error)),
        },
    }
}

/// Which side an error is about. A pipe has no errors of its own but that nobody reads it.
fn side_of(from: &End<'_>, errno: Option<i32>) -> Side {
    if from.kind == Kind::Pipe || errno == Some(libc::EPIPE) { Side::Sink } else { Side::Source }
}

fn in_the_pool(from: &End<'_>, to: &End<'_>, len: usize) -> io::Result<usize> {
    let (from, to) = (descriptor::duplicate(from.fd)?, descriptor::duplicate(to.fd)?);
    unblock_to_end(move || {
        let _guard = sigpipe::hold_off();
        splice::splice_now(from, to, len)
    })
}

/// Waits until `end` is ready, for as long as it may.
pub(super) fn wait_for(end: &End<'_>, side: Side) -> Result<(), Failure> {
    let op = ready(end, side);
    // SAFETY: the descriptor is borrowed until this returns; there is no memory.
    let waited = unsafe { perform(&op, end.patience.map(deadline_in)) };
    waited.map(drop).map_err(|error| Failure::of(side, error))
}

/// Waits for the side that is not ready; false where both are.
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
    // SAFETY: as in `wait_for`.
    unsafe { perform_now(&ready(end, side)) }.is_ok()
}

fn ready(end: &End<'_>, side: Side) -> Op {
    let interest = match side {
        Side::Source => Interest::Readable,
        Side::Sink => Interest::Writable,
    };
    Op::ready(end.fd.as_raw_fd(), interest)
}
