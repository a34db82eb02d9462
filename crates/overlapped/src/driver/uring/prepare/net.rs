//! Entries for sockets.

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::Fd;

use crate::op::{Net, assert_clamped};
use crate::sys::message::Message;

/// Returns the opcode.
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

/// Makes the entry, without its user data.
///
/// # Safety
/// The same as for [`prepare`](super::prepare).
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
        Net::Recv { fd, buf, len, peek, nonblocking } => {
            assert_clamped(len);
            let flags = receive_flags(peek, nonblocking);
            opcode::Recv::new(Fd(fd), buf, len).flags(flags).build()
        }
        Net::Send { fd, buf, len, nonblocking } => {
            assert_clamped(len);
            opcode::Send::new(Fd(fd), buf, len).flags(send_flags(nonblocking)).build()
        }
        Net::RecvMsg { fd, message, peek, nonblocking } => {
            let flags = receive_flags(peek, nonblocking) as u32;
            let message = Message::as_ptr(message).cast_mut();
            opcode::RecvMsg::new(Fd(fd), message).flags(flags).build()
        }
        Net::SendMsg { fd, message, nonblocking } => {
            let flags = send_flags(nonblocking) as u32;
            opcode::SendMsg::new(Fd(fd), Message::as_ptr(message)).flags(flags).build()
        }
    }
}

fn receive_flags(peek: bool, nonblocking: bool) -> i32 {
    dont_wait(nonblocking) | if peek { libc::MSG_PEEK } else { 0 }
}

fn send_flags(nonblocking: bool) -> i32 {
    dont_wait(nonblocking) | libc::MSG_NOSIGNAL
}

fn dont_wait(nonblocking: bool) -> i32 {
    if nonblocking { libc::MSG_DONTWAIT } else { 0 }
}
