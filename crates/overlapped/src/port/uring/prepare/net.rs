//! Entries for sockets.

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Fd;

use super::check;
use crate::op::{Message, Net};

pub(super) fn code(net: &Net) -> u8 {
    match net {
        Net::Accept { .. } => opcode::Accept::CODE,
        Net::Connect { .. } => opcode::Connect::CODE,
        Net::Recv { .. } => opcode::Recv::CODE,
        Net::Send { .. } => opcode::Send::CODE,
        Net::RecvMsg { .. } => opcode::RecvMsg::CODE,
        Net::SendMsg { .. } => opcode::SendMsg::CODE,
    }
}

/// # Safety
/// As for [`prepare`](super::prepare).
#[inline]
pub(super) unsafe fn prepare(net: &Net) -> Entry {
    match *net {
        Net::Accept { fd, addr, nonblocking: _ } => {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            // SAFETY: only places are named here; nothing is read or written.
            let (storage, len) = unsafe { (&raw mut (*addr).storage, &raw mut (*addr).len) };
            opcode::Accept::new(Fd(fd), storage.cast(), len).flags(flags).build()
        }
        Net::Connect { fd, addr, nonblocking: _ } => {
            // SAFETY: the caller's promise.
            let (storage, len) = unsafe { (&raw const (*addr).storage, (*addr).len) };
            opcode::Connect::new(Fd(fd), storage.cast(), len).build()
        }
        Net::Recv { fd, buf, len, peek, nonblocking: _ } => {
            check(len);
            let flags = if peek { libc::MSG_PEEK } else { 0 };
            opcode::Recv::new(Fd(fd), buf, len).flags(flags).build()
        }
        Net::Send { fd, buf, len, nonblocking: _ } => {
            check(len);
            opcode::Send::new(Fd(fd), buf, len).flags(libc::MSG_NOSIGNAL).build()
        }
        Net::RecvMsg { fd, message, peek, nonblocking: _ } => {
            let flags = if peek { libc::MSG_PEEK as u32 } else { 0 };
            let message = Message::as_ptr(message).cast_mut();
            opcode::RecvMsg::new(Fd(fd), message).flags(flags).build()
        }
        Net::SendMsg { fd, message, nonblocking: _ } => {
            let flags = libc::MSG_NOSIGNAL as u32;
            opcode::SendMsg::new(Fd(fd), Message::as_ptr(message)).flags(flags).build()
        }
    }
}
