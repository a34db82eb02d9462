//! Operations as plain data, and the table of those in flight.
//!
//! ```text
//! Op = Net | Fs | Wait ──submit──▶ Submitted::Done(Outcome)
//!                            └───▶ Submitted::Pending … Completion { token, outcome }
//! Table: Token ──▶ the owner, which the completion wakes
//! ```
//!
//! An [`Op`] names a descriptor, memory and a few flags. It owns nothing: its submitter keeps the
//! descriptor open and the memory valid until the last completion (terminal completion first). The
//! ring has one match that prepares an `Op`, and `direct` one that tries it, per group. None of
//! them has an arm that catches the rest, so that a new operation is a few arms, and the compiler
//! lists the missing ones.
//!
//! The system's types come from `sys` by aliases; this folder imports nothing else, because
//! everything else is built on it.

#[cfg(unix)]
mod fs;
mod table;
mod wait;

use std::io;

use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor::Raw;
use crate::sys::errno;
use crate::sys::message::Message;
use crate::sys::readiness::Interest;

#[cfg(unix)]
pub(crate) use fs::Fs;
pub(crate) use table::{Full, Table, Token};
pub(crate) use wait::Wait;

/// The longest transfer that Linux does in one call (`MAX_RW_COUNT`, read(2)). Lengths in a ring
/// entry are 32 bits wide: an unclamped 4 GiB would become 0, a false end of file.
const TRANSFER_MAX: usize = 0x7fff_f000;

/// Clamps `len` to what one operation may transfer.
pub(crate) fn clamp(len: usize) -> u32 {
    len.min(TRANSFER_MAX) as u32
}

/// Asserts that a length went through [`clamp`].
#[inline]
pub(crate) fn assert_clamped(len: u32) {
    assert!(len as usize <= TRANSFER_MAX, "the length was not clamped");
}

/// One operation, as data. Pointers follow the rule in the module's comment.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    /// Sockets.
    Net(Net),
    /// Files, pipes, terminals.
    #[cfg(unix)]
    Fs(Fs),
    /// Waits for events.
    Wait(Wait),
}

/// Operations on sockets. `nonblocking` makes the operation fail with `EAGAIN` if it would
/// wait (the ring ignores `O_NONBLOCK`, so the object remembers it and says it here).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Net {
    /// accept4(2) with `SOCK_CLOEXEC | SOCK_NONBLOCK`. Result: the new descriptor.
    Accept { fd: Raw, addr: *mut SocketAddrBuf, nonblocking: bool },
    /// connect(2). Result 0. `nonblocking`: for families whose connect is never under way.
    Connect { fd: Raw, addr: *const SocketAddrBuf, nonblocking: bool },
    /// recv(2). Result: bytes received, 0 at end of stream.
    Recv { fd: Raw, buf: *mut u8, len: u32, peek: bool, nonblocking: bool },
    /// send(2) with `MSG_NOSIGNAL`. Result: bytes sent.
    Send { fd: Raw, buf: *const u8, len: u32, nonblocking: bool },
    /// recvmsg(2): vectored, or with the sender's address. Result: bytes received.
    RecvMsg { fd: Raw, message: *mut Message<'static>, peek: bool, nonblocking: bool },
    /// sendmsg(2) with `MSG_NOSIGNAL`: vectored, or to an address. Result: bytes sent.
    SendMsg { fd: Raw, message: *const Message<'static>, nonblocking: bool },
}

impl Op {
    /// Makes the wait for a descriptor's readiness.
    #[inline]
    pub(crate) fn ready(fd: Raw, interest: Interest) -> Op {
        Op::Wait(match interest {
            Interest::Readable => Wait::Readable { fd },
            Interest::Writable => Wait::Writable { fd },
        })
    }

    /// Returns a short name for dumps and deadlock reports.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Op::Net(Net::Accept { .. }) => "accept",
            Op::Net(Net::Connect { .. }) => "connect",
            Op::Net(Net::Recv { peek: true, .. } | Net::RecvMsg { peek: true, .. }) => "peek",
            Op::Net(Net::Recv { .. } | Net::RecvMsg { .. }) => "recv",
            Op::Net(Net::Send { .. } | Net::SendMsg { .. }) => "send",
            #[cfg(unix)]
            Op::Fs(fs) => fs.name(),
            Op::Wait(wait) => wait.name(),
        }
    }

    /// Tells whether it moves bytes through a socket.
    pub(crate) fn is_transfer(&self) -> bool {
        matches!(self, Op::Net(net) if net.is_transfer())
    }

    /// Returns the descriptor on which the operation works.
    pub(crate) fn fd(&self) -> Raw {
        match *self {
            Op::Net(
                Net::Accept { fd, .. }
                | Net::Connect { fd, .. }
                | Net::Recv { fd, .. }
                | Net::Send { fd, .. }
                | Net::RecvMsg { fd, .. }
                | Net::SendMsg { fd, .. },
            ) => fd,
            #[cfg(unix)]
            Op::Fs(ref fs) => fs.fd(),
            Op::Wait(ref wait) => wait.fd(),
        }
    }
}

impl Net {
    /// Tells whether it is to fail if it would wait.
    #[inline]
    pub(crate) fn is_nonblocking(&self) -> bool {
        match *self {
            Net::Accept { nonblocking, .. }
            | Net::Connect { nonblocking, .. }
            | Net::Recv { nonblocking, .. }
            | Net::Send { nonblocking, .. }
            | Net::RecvMsg { nonblocking, .. }
            | Net::SendMsg { nonblocking, .. } => nonblocking,
        }
    }

    /// Tells whether it moves bytes.
    fn is_transfer(&self) -> bool {
        match self {
            Net::Recv { .. } | Net::Send { .. } | Net::RecvMsg { .. } | Net::SendMsg { .. } => true,
            Net::Accept { .. } | Net::Connect { .. } => false,
        }
    }
}

/// The state of an operation after its submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// The completion will come out of `Driver::wait`.
    Pending,
    /// It ended at once; no completion will come.
    Done(Outcome),
}

/// The end of one operation: exactly one per token that was [pending](Submitted::Pending).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completion {
    /// The operation.
    pub(crate) token: Token,
    /// Its end.
    pub(crate) outcome: Outcome,
}

/// The end of an operation: its value, or the system's code. It takes four bytes, because every
/// control block and every completion holds one; callers see [`result`](Outcome::result).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome(i32);

impl Outcome {
    /// The end of an operation that was cancelled and has done nothing.
    pub(crate) const CANCELLED: Outcome = Outcome(-errno::CANCELLED);

    /// The end of a try that would have to wait.
    pub(crate) const WOULD_BLOCK: Outcome = Outcome(-errno::WOULD_BLOCK);

    /// The end of a wait at its time limit.
    pub(crate) const AT_LIMIT: Outcome = Outcome(-errno::AT_LIMIT);

    /// Success without a value.
    pub(crate) const DONE: Outcome = Outcome(0);

    /// Takes a result in the system's form: a value, or a negated code.
    #[inline]
    pub(crate) fn from_raw(result: i32) -> Outcome {
        Outcome(result)
    }

    /// Takes a code.
    pub(crate) fn from_code(code: i32) -> Outcome {
        Outcome(-code)
    }

    /// Returns the result in the system's form.
    #[inline]
    pub(crate) fn raw(self) -> i32 {
        self.0
    }

    /// Returns the value, or the error.
    ///
    /// # Errors
    /// The operation's own.
    #[inline]
    pub(crate) fn result(self) -> io::Result<usize> {
        if self.0 < 0 { Err(errno::error(-self.0)) } else { Ok(self.0 as usize) }
    }

    /// Tells whether the operation would have to wait.
    #[inline]
    pub(crate) fn would_block(self) -> bool {
        errno::is_would_block(self.0)
    }

    /// Tells whether the operation was ended early and has done nothing: cancelled, or interrupted.
    #[inline]
    pub(crate) fn is_cancelled(self) -> bool {
        errno::is_cancelled(self.0)
    }
}
