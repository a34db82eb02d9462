//! From an [`Op`] to a ring entry: the one match that a new operation extends.

use io_uring::squeue::Entry;
use io_uring::types::{CancelBuilder, Fd};
use io_uring::{opcode, types};

use crate::op::{Fs, Interest, Message, Net, Op, TRANSFER_MAX, Token};
use crate::port::attempt::poll_bits;

/// The offset that means "at the file's cursor".
const AT_CURSOR: u64 = u64::MAX;

/// The opcode that [`prepare`] uses for `op`.
pub(super) fn code(op: &Op) -> u8 {
    match op {
        Op::Net(Net::Accept { .. }) => opcode::Accept::CODE,
        Op::Net(Net::Connect { .. }) => opcode::Connect::CODE,
        Op::Net(Net::Recv { .. }) => opcode::Recv::CODE,
        Op::Net(Net::Send { .. }) => opcode::Send::CODE,
        Op::Net(Net::RecvMsg { .. }) => opcode::RecvMsg::CODE,
        Op::Net(Net::SendMsg { .. }) => opcode::SendMsg::CODE,
        Op::Fs(Fs::Read { .. }) => opcode::Read::CODE,
        Op::Fs(Fs::Write { .. }) => opcode::Write::CODE,
        Op::Ready { .. } => opcode::PollAdd::CODE,
    }
}

/// The entry for `op`, without its user data.
///
/// # Safety
/// The address behind a connect is valid for reads now. (Everything else is looked at by the
/// kernel later: see [`Ring::push`](super::ring::Ring::push).)
#[inline]
pub(super) unsafe fn prepare(op: &Op) -> Entry {
    match *op {
        Op::Net(Net::Accept { fd, addr, nonblocking: _ }) => {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: only places are named here; nothing is read or written.
            let (storage, len) = unsafe { (&raw mut (*addr).storage, &raw mut (*addr).len) };
            opcode::Accept::new(Fd(fd), storage.cast(), len).flags(flags).build()
        }
        Op::Net(Net::Connect { fd, addr }) => {
            // SAFETY: the caller's promise.
            let (storage, len) = unsafe { (&raw const (*addr).storage, (*addr).len) };
            opcode::Connect::new(Fd(fd), storage.cast(), len).build()
        }
        Op::Net(Net::Recv { fd, buf, len, peek, nonblocking: _ }) => {
            check(len);
            let flags = if peek { libc::MSG_PEEK } else { 0 };
            opcode::Recv::new(Fd(fd), buf, len).flags(flags).build()
        }
        Op::Net(Net::Send { fd, buf, len, nonblocking: _ }) => {
            check(len);
            opcode::Send::new(Fd(fd), buf, len).flags(libc::MSG_NOSIGNAL).build()
        }
        Op::Net(Net::RecvMsg { fd, message, nonblocking: _ }) => {
            let message = Message::as_ptr(message).cast_mut();
            opcode::RecvMsg::new(Fd(fd), message).build()
        }
        Op::Net(Net::SendMsg { fd, message, nonblocking: _ }) => {
            let flags = libc::MSG_NOSIGNAL as u32;
            opcode::SendMsg::new(Fd(fd), Message::as_ptr(message)).flags(flags).build()
        }
        Op::Fs(Fs::Read { fd, buf, len, offset }) => {
            check(len);
            opcode::Read::new(Fd(fd), buf, len).offset(offset.unwrap_or(AT_CURSOR)).build()
        }
        Op::Fs(Fs::Write { fd, buf, len, offset }) => {
            check(len);
            opcode::Write::new(Fd(fd), buf, len).offset(offset.unwrap_or(AT_CURSOR)).build()
        }
        Op::Ready { fd, interest } => ready(fd, interest),
    }
}

/// A one-shot poll.
pub(super) fn ready(fd: i32, interest: Interest) -> Entry {
    opcode::PollAdd::new(Fd(fd), poll_bits(interest) as u32).build()
}

/// Asks to end the operation that carries `token`.
pub(super) fn cancel(token: Token) -> Entry {
    opcode::AsyncCancel::new(token.to_bits()).build()
}

/// Asks to end everything in the ring.
pub(super) fn cancel_all() -> Entry {
    opcode::AsyncCancel2::new(CancelBuilder::any()).build()
}

/// Reads the eventfd `fd` into the eight bytes at `count`.
pub(super) fn wake(fd: i32, count: *mut u64) -> Entry {
    opcode::Read::new(types::Fd(fd), count.cast(), 8).offset(AT_CURSOR).build()
}

#[inline]
fn check(len: u32) {
    assert!(len as usize <= TRANSFER_MAX, "the length was not clamped");
}
