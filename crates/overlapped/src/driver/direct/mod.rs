//! One operation by plain system calls: once without waiting, or blocking the thread.
//!
//! An operation goes through two calls here: [`start`] once, then, as long as the answer says
//! *would wait*, [`resume`] whenever the descriptor has become ready. They differ for connect
//! alone, which must not be started twice. The poll backend, the ring's fallbacks and
//! [`blocking`] are three loops around the same two calls.
//!
//! "Without waiting" holds for descriptors in blocking mode, too (the public port is given such):
//! sockets by `MSG_DONTWAIT`; pipes by `RWF_NOWAIT`, and where a file cannot do that (terminals)
//! by poll(2) first. `accept` and `connect` know no such flag: there the descriptor must be
//! `O_NONBLOCK`. Regular files, directories and block devices are always ready in poll(2)'s
//! sense: they are done in place, which may wait for the disk.

mod fs;
mod net;

use std::io;

use crate::op::{Fs, Net, Op, Outcome};
use crate::sys::errno::is_cancelled;
use crate::sys::readiness::{Interest, poll, poll_bits, poll_entries, poll_now};
use crate::sys::socket::transfer::connect_result;

/// Tries `op` once without waiting; `-EAGAIN` where it would wait. A connect that is under way
/// answers `-EAGAIN`, too: it goes on in the kernel.
///
/// # Safety
/// The descriptor in `op` is open, and every pointer in it is valid for what the operation does.
pub(crate) unsafe fn attempt(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    let outcome = unsafe { start(op) };
    if would_wait(op, outcome) { Outcome::of(-libc::EAGAIN) } else { outcome }
}

/// Does `op` to its end, blocking the thread, for callers that are no tasklets. `-ETIMEDOUT`
/// where the time `limit` (on [`clock`]) comes first. `nonblocking` in `op` is honoured.
///
/// # Safety
/// As for [`attempt`].
pub(crate) unsafe fn blocking(op: &Op, limit: Option<u64>) -> Outcome {
    // SAFETY: the caller's promise.
    let mut outcome = unsafe { start(op) };
    while would_wait(op, outcome) && !nonblocking(op) {
        match poll(op.fd(), interest(op), limit) {
            Ok(true) => {}
            Ok(false) => return Outcome::of(-libc::ETIMEDOUT),
            Err(errno) => return Outcome::of(-errno),
        }
        // SAFETY: the caller's promise; `start` has been called.
        outcome = unsafe { resume(op) };
    }
    outcome
}

/// Whether `outcome` means that `op` has not ended and wants readiness.
pub(crate) fn would_wait(op: &Op, outcome: Outcome) -> bool {
    match *op {
        // EAGAIN from connect means "no port left" or "backlog full", and is an end.
        Op::Net(Net::Connect { .. }) => outcome.result == -libc::EINPROGRESS,
        Op::Fs(ref fs) if !fs::is_transfer(fs) => false,
        _ => outcome.result == -libc::EAGAIN,
    }
}

/// Whether `op` is to fail where it would wait.
pub(super) fn nonblocking(op: &Op) -> bool {
    match *op {
        Op::Net(
            Net::Accept { nonblocking, .. }
            | Net::Connect { nonblocking, .. }
            | Net::Recv { nonblocking, .. }
            | Net::Send { nonblocking, .. }
            | Net::RecvMsg { nonblocking, .. }
            | Net::SendMsg { nonblocking, .. },
        ) => nonblocking,
        Op::Fs(Fs::Splice { on_disk, .. }) => !on_disk,
        Op::Fs(_) | Op::Ready { .. } => false,
    }
}

/// What an operation that would wait is waiting for.
pub(super) fn interest(op: &Op) -> Interest {
    match *op {
        Op::Net(Net::Accept { .. } | Net::Recv { .. } | Net::RecvMsg { .. })
        | Op::Fs(Fs::Read { .. } | Fs::ReadVectored { .. }) => Interest::Readable,
        Op::Net(Net::Connect { .. } | Net::Send { .. } | Net::SendMsg { .. }) | Op::Fs(_) => {
            Interest::Writable
        }
        Op::Ready { interest, .. } => interest,
    }
}

/// First try of `op`.
///
/// # Safety
/// As for [`attempt`].
pub(super) unsafe fn start(op: &Op) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    Outcome::of(unsafe {
        match *op {
            Op::Net(ref net) => net::start(net),
            Op::Fs(ref fs) => fs::start(fs),
            Op::Ready { fd, interest } => poll_now(fd, interest),
        }
    })
}

/// Another try of `op`, after [`start`] said that it would wait.
///
/// # Safety
/// As for [`attempt`].
pub(super) unsafe fn resume(op: &Op) -> Outcome {
    match *op {
        Op::Net(Net::Connect { fd, .. }) => Outcome::of(connect_result(fd)),
        _ => {
            // SAFETY: the caller's promise.
            let outcome = unsafe { start(op) };
            if !would_wait(op, outcome) {
                return outcome;
            }
            // SAFETY: the caller's promise.
            unsafe { shut_down(op) }.unwrap_or(outcome)
        }
    }
}

/// What a backend's outcome says to whoever waits for `op`; `None` where it has not ended and is to
/// be submitted again: cancelled, interrupted, or given up.
///
/// The ring tries an operation for as many as 128 wakes, and then for a last time on a worker. Some
/// operations look at `O_NONBLOCK` there, and say that they would wait.
///
/// # Safety
/// As for [`attempt`].
#[inline]
pub(crate) unsafe fn end(op: &Op, outcome: Outcome) -> Option<Outcome> {
    if is_cancelled(outcome.result) {
        return None;
    }
    if !would_wait(op, outcome) || nonblocking(op) {
        return Some(outcome);
    }
    // SAFETY: the caller's promise.
    unsafe { shut_down(op) }
}

/// The outcome of a transfer at its own limit: bytes that have come by then, or the end.
///
/// # Safety
/// As for [`attempt`].
#[cold]
pub(crate) unsafe fn at_limit(op: &Op) -> Option<Outcome> {
    if !op.is_transfer() {
        return None;
    }
    // SAFETY: the caller's promise.
    let outcome = unsafe { resume(op) };
    (!would_wait(op, outcome)).then_some(outcome)
}

/// The end of an operation that would wait on a socket that takes nothing more. What it has taken
/// before, perhaps since the last try, comes first.
///
/// # Safety
/// As for [`attempt`].
unsafe fn shut_down(op: &Op) -> Option<Outcome> {
    let Op::Net(net) = op else { return None };
    let end = net::shut_down(net)?;
    // SAFETY: the caller's promise.
    let last = unsafe { start(op) };
    Some(if would_wait(op, last) { end } else { last })
}

/// Waits until one of `ops` need not wait any more (true) or the time `limit` has come (false).
pub(crate) fn any_ready(ops: &[Op], limit: Option<u64>) -> io::Result<bool> {
    let entry = |op: &Op| libc::pollfd { fd: op.fd(), events: poll_bits(interest(op)), revents: 0 };
    let mut entries: Vec<_> = ops.iter().map(entry).collect();
    poll_entries(&mut entries, limit).map_err(io::Error::from_raw_os_error)
}
