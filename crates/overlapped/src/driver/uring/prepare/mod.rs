//! Ring entries for operations: one match per group, which a new operation extends.

mod fs;
mod net;

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd};
use io_uring::{opcode, types};

use crate::op::{Op, Token, Wait};
use crate::sys::readiness::{Interest, poll_bits};

/// Returns the opcode that [`prepare`] uses for `op`.
pub(super) fn code(op: &Op) -> u8 {
    match op {
        Op::Net(net) => net::code(net),
        Op::Fs(fs) => fs::code(fs),
        Op::Wait(
            Wait::Readable { .. }
            | Wait::Writable { .. }
            | Wait::ProcessEnd { .. }
            | Wait::Signal { .. }
            | Wait::Output { .. }
            | Wait::Connected { .. },
        ) => opcode::PollAdd::CODE,
    }
}

/// Makes the entry for `op`, without its user data.
///
/// # Safety
/// The address of a connect is valid for reads now. (The kernel reads all other memory later: see
/// [`Ring::push`](super::ring::Ring::push).)
#[inline]
pub(super) unsafe fn prepare(op: &Op) -> Entry {
    match *op {
        // SAFETY: the caller's promise.
        Op::Net(ref net) => unsafe { net::prepare(net) },
        Op::Fs(ref fs) => fs::prepare(fs),
        Op::Wait(ref wait) => ready(wait.fd(), wait.interest()),
    }
}

/// Makes a one-shot poll.
pub(super) fn ready(fd: i32, interest: Interest) -> Entry {
    opcode::PollAdd::new(Fd(fd), poll_bits(interest) as u32).build()
}

/// Makes the request to end the operation that carries `token`.
pub(super) fn cancel(token: Token) -> Entry {
    opcode::AsyncCancel::new(token.to_bits()).build()
}

/// Makes the request to end everything in the ring.
pub(super) fn cancel_all() -> Entry {
    opcode::AsyncCancel2::new(CancelBuilder::any()).build()
}

/// Makes the read of the eventfd `fd` into the eight bytes at `count`.
pub(super) fn wake(fd: i32, count: *mut u64) -> Entry {
    opcode::Read::new(types::Fd(fd), count.cast(), 8).offset(fs::AT_CURSOR).build()
}
