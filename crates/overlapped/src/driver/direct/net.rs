//! Sockets, by plain system calls.

use crate::op::{Net, Outcome};
use crate::sys::message::Message;
use crate::sys::readiness::is_shut_down;
use crate::sys::socket::transfer;

/// # Safety
/// As for [`attempt`](super::attempt).
pub(super) unsafe fn start(net: &Net) -> i32 {
    // SAFETY: every pointer is valid for what its call does, by the caller's promise.
    unsafe {
        match *net {
            Net::Accept { fd, addr, .. } => transfer::accept(fd, addr),
            Net::Connect { fd, addr, .. } => transfer::connect(fd, addr),
            Net::Recv { fd, buf, len, peek, .. } => transfer::recv(fd, buf, len, peek_flag(peek)),
            Net::Send { fd, buf, len, .. } => transfer::send(fd, buf, len, 0),
            Net::RecvMsg { fd, message, peek, .. } => {
                transfer::recvmsg(fd, Message::as_ptr(message).cast_mut(), peek_flag(peek))
            }
            Net::SendMsg { fd, message, .. } => transfer::sendmsg(fd, Message::as_ptr(message), 0),
        }
    }
}

fn peek_flag(peek: bool) -> i32 {
    if peek { libc::MSG_PEEK } else { 0 }
}

/// The end of an operation that would wait on a socket that takes nothing more: what the blocking
/// call says. Sockets of the Unix family answer "would wait" for ever there, and are always ready.
pub(super) fn shut_down(net: &Net) -> Option<Outcome> {
    let (fd, end) = match *net {
        Net::Recv { fd, .. } | Net::RecvMsg { fd, .. } => (fd, 0),
        Net::Accept { fd, .. } => (fd, -libc::EINVAL),
        Net::Connect { .. } | Net::Send { .. } | Net::SendMsg { .. } => return None,
    };
    is_shut_down(fd).then(|| Outcome::of(end))
}
