//! Waits for readiness, and for room to send on sockets whose state the kernel does not report
//! completely.
//!
//! A socket of the Unix family can be shut down for writing, by its own side or by the peer (which
//! shuts down reading). Then a send fails with `EPIPE`, but poll(2) reports the socket as writable
//! only if it has room: a full socket that is shut down is never ready. A thread inside send(2) is
//! woken; a poller is woken, too, polls, and finds nothing to report. So a wait for room on such a
//! socket ends after [`RECHECK`] at the latest, and the send is tried again.
//!
//! The ring's own send needs no such recheck: the ring tries a send again after each wake, also
//! after one that reports nothing (seen on Linux 6.18). TCP reports a socket as writable as soon as
//! it is shut down.

use std::io;
use std::time::Duration;

use crate::op::Op;
use crate::sys::errno::says_at_limit;
use crate::sys::readiness::Interest;
use crate::sys::socket::{BorrowedSocket, is_unix, raw_of};
use crate::task::port_does;
use crate::task::wait::perform;
use crate::time::deadline_in;

/// The longest wait for room in a socket of the Unix family before the send is tried again.
const RECHECK: Duration = Duration::from_millis(100);

/// Waits until `socket` is ready, blocking the calling tasklet only; outside a scheduler, the
/// thread.
/// Ends at the time `limit` at the latest.
///
/// # Errors
/// `EAGAIN` at the limit; those of [`perform`].
pub(crate) fn wait_ready(
    socket: BorrowedSocket<'_>,
    interest: Interest,
    limit: Option<u64>,
) -> io::Result<()> {
    let op = Op::ready(raw_of(socket), interest);
    // SAFETY: the borrow keeps the descriptor open until this returns; no memory is involved.
    unsafe { perform(&op, limit) }.map(drop)
}

/// Waits until `socket` has room, or until the time `limit`. Tells whether it has room. For a
/// socket whose shutdown the kernel may not report, this returns false after a while, and the
/// caller tries its send again.
///
/// # Errors
/// `EAGAIN` at the limit; those of [`perform`].
pub(crate) fn wait_writable(socket: BorrowedSocket<'_>, limit: Option<u64>) -> io::Result<bool> {
    let recheck = is_unix(socket).then(|| deadline_in(RECHECK));
    let until = [limit, recheck].into_iter().flatten().min();
    match wait_ready(socket, Interest::Writable, until) {
        Err(error) if says_at_limit(&error) && until != limit => Ok(false),
        result => result.map(|()| true),
    }
}

/// Performs a send on a socket whose family is unknown.
///
/// # Errors
/// Those of [`perform`].
///
/// # Safety
/// The same as for [`perform`].
pub(crate) unsafe fn send(
    socket: BorrowedSocket<'_>,
    op: &Op,
    limit: Option<u64>,
) -> io::Result<usize> {
    // SAFETY: the caller's promise.
    unsafe {
        match !port_does(op) && is_unix(socket) {
            true => send_on_unix_socket(op, limit),
            false => perform(op, limit),
        }
    }
}

/// Performs a send that may wait on a socket of the Unix family.
///
/// # Errors
/// Those of [`perform`].
///
/// # Safety
/// The same as for [`perform`].
pub(crate) unsafe fn send_on_unix_socket(op: &Op, limit: Option<u64>) -> io::Result<usize> {
    if port_does(op) {
        // SAFETY: the caller's promise.
        return unsafe { perform(op, limit) };
    }
    debug_assert!(
        !matches!(op, Op::Net(net) if net.is_nonblocking()),
        "it would be tried for ever"
    );
    loop {
        let recheck = deadline_in(RECHECK);
        let until = limit.map_or(recheck, |limit| limit.min(recheck));
        // SAFETY: the caller's promise.
        match unsafe { perform(op, Some(until)) } {
            Err(error) if says_at_limit(&error) && Some(until) != limit => {}
            result => return result,
        }
    }
}
