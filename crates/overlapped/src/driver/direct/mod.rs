//! One operation by plain system calls: once without waiting, or blocking the thread.
//!
//! An operation goes through two calls here: [`first_try`] once, then, as long as it
//! [is unfinished](is_unfinished), [`retry`] whenever its descriptor has become ready. A retry does
//! not start a connect again, and also finds the [end of a stream](end_of_stream). The poll
//! backend, the ring's fallbacks and [`block_on`] are three loops around the same two calls.
//!
//! "Without waiting" holds for descriptors in blocking mode, too (the public port is given such):
//! sockets by `MSG_DONTWAIT`; pipes by `RWF_NOWAIT`, and, if a file cannot do that (terminals), by
//! poll(2) first. `accept` and `connect` have no such flag, so their descriptor must be
//! `O_NONBLOCK`. Regular files, directories and block devices are always ready in poll(2)'s sense:
//! the calling thread performs operations on them, and may wait for the disk.
//!
//! Only the driver calls these functions: [`Driver::try_now`](super::Driver::try_now),
//! [`driver::try_now`](super::try_now) and [`driver::block_on`](super::block_on) are their front
//! for other modules.

#[cfg(unix)]
mod fs;
mod net;

use std::io;

use crate::op::{Net, Op, Outcome, Wait};
use crate::sys::errno::{self, is_under_way};
use crate::sys::readiness::{Interest, poll, poll_any, poll_now};
use crate::sys::socket::transfer::connect_result;

/// Tries `op` once without waiting; *would block* if it would wait. A connect that is under way
/// returns that, too, and goes on in the kernel.
///
/// # Safety
/// The descriptor in `op` is open, and every pointer in it is valid for what the operation does.
pub(super) unsafe fn try_now(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    let outcome = unsafe { first_try(op) };
    if is_unfinished(op, outcome) { Outcome::WOULD_BLOCK } else { outcome }
}

/// Performs `op` to its end, blocking the thread. Returns *at the limit*, as std's sockets do, if
/// the time `limit` (on the port's clock) comes first. `nonblocking` in `op` is obeyed.
///
/// # Safety
/// The same as for [`try_now`].
pub(super) unsafe fn block_on(op: &Op, limit: Option<u64>) -> Outcome {
    // SAFETY: the caller's promise.
    let mut outcome = unsafe { first_try(op) };
    while is_unfinished(op, outcome) && !is_nonblocking(op) {
        match poll(op.fd(), interest(op), limit) {
            Ok(true) => {}
            Ok(false) => return Outcome::AT_LIMIT,
            Err(code) => return Outcome::from_code(code),
        }
        // SAFETY: the caller's promise; the first try has been made.
        outcome = unsafe { retry(op) };
    }
    outcome
}

/// Tells whether `outcome` means that `op` has not ended and waits for readiness.
#[inline]
pub(super) fn is_unfinished(op: &Op, outcome: Outcome) -> bool {
    // EAGAIN from connect means "no port left" or "backlog full", and ends the operation.
    if let Op::Net(Net::Connect { .. }) = op {
        return is_under_way(outcome.raw());
    }
    outcome.would_block() && readiness(op).is_some()
}

/// Tells whether `op` is to fail if it would wait.
#[inline]
pub(super) fn is_nonblocking(op: &Op) -> bool {
    match *op {
        Op::Net(ref net) => net.is_nonblocking(),
        #[cfg(unix)]
        Op::Fs(ref fs) => fs::is_nonblocking(fs),
        Op::Wait(Wait::Readable { .. } | Wait::Writable { .. } | Wait::Connected { .. }) => false,
        #[cfg(unix)]
        Op::Wait(Wait::ProcessEnd { .. } | Wait::Signal { .. } | Wait::Output { .. }) => false,
    }
}

/// Returns the readiness for which an [unfinished](is_unfinished) operation waits.
#[inline]
pub(super) fn interest(op: &Op) -> Interest {
    readiness(op).expect("only an operation that waits for readiness is unfinished")
}

/// Returns the readiness for which `op` may wait; `None` if it ends by itself.
#[inline]
fn readiness(op: &Op) -> Option<Interest> {
    match op {
        Op::Net(Net::Accept { .. } | Net::Recv { .. } | Net::RecvMsg { .. }) => {
            Some(Interest::Readable)
        }
        Op::Net(Net::Connect { .. } | Net::Send { .. } | Net::SendMsg { .. }) => {
            Some(Interest::Writable)
        }
        #[cfg(unix)]
        Op::Fs(fs) => fs::interest(fs),
        Op::Wait(wait) => Some(wait.interest()),
    }
}

/// Tries `op` for the first time.
///
/// # Safety
/// The same as for [`try_now`].
pub(super) unsafe fn first_try(op: &Op) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    Outcome::from_raw(unsafe {
        match *op {
            Op::Net(ref net) => net::try_once(net),
            #[cfg(unix)]
            Op::Fs(ref fs) => fs::try_once(fs),
            Op::Wait(ref wait) => poll_now(wait.fd(), wait.interest()),
        }
    })
}

/// Tries `op` again, after [`first_try`] has left it unfinished.
///
/// # Safety
/// The same as for [`try_now`].
pub(super) unsafe fn retry(op: &Op) -> Outcome {
    if let Op::Net(Net::Connect { fd, .. }) = *op {
        return Outcome::from_raw(connect_result(fd));
    }
    // SAFETY: the caller's promise.
    let outcome = unsafe { first_try(op) };
    if !is_unfinished(op, outcome) {
        return outcome;
    }
    // SAFETY: the caller's promise.
    unsafe { end_of_stream(op) }.unwrap_or(outcome)
}

/// Tries a socket's transfer again that was cancelled at its own limit. Returns the outcome: bytes
/// that have come by then, or the end.
///
/// # Safety
/// The same as for [`try_now`].
#[cold]
pub(super) unsafe fn try_at_limit(op: &Op) -> Option<Outcome> {
    if !op.is_transfer() {
        return None;
    }
    // SAFETY: the caller's promise.
    let outcome = unsafe { retry(op) };
    (!is_unfinished(op, outcome)).then_some(outcome)
}

/// Returns the outcome of an unfinished operation on a socket that is shut down for receiving.
/// Bytes that have come before the end, perhaps since the last try, come first.
///
/// # Safety
/// The same as for [`try_now`].
pub(super) unsafe fn end_of_stream(op: &Op) -> Option<Outcome> {
    let Op::Net(net) = op else { return None };
    let end = net::end_of_stream(net)?;
    // SAFETY: the caller's promise.
    let last = unsafe { first_try(op) };
    Some(if is_unfinished(op, last) { end } else { last })
}

/// Blocks the thread until one of `ops` need not wait any more (true) or the time `limit` has come
/// (false).
pub(super) fn block_on_any(ops: &[Op], limit: Option<u64>) -> io::Result<bool> {
    let waits: Vec<_> = ops.iter().map(|op| (op.fd(), interest(op))).collect();
    poll_any(&waits, limit).map_err(errno::error)
}
