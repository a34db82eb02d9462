//! Sockets, by plain system calls.

use crate::op::{Net, Outcome};
use crate::sys::errno;
use crate::sys::message::Message;
use crate::sys::readiness::is_shut_down;
use crate::sys::socket::transfer;

/// Makes the system call.
///
/// # Safety
/// The same as for [`try_now`](super::try_now).
pub(super) unsafe fn try_once(net: &Net) -> i32 {
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
    if peek { transfer::PEEK } else { 0 }
}

/// Returns the outcome of an unfinished receive or accept on a socket that is shut down for
/// receiving: that of the blocking call. (A socket of the Unix family is always ready then, and
/// fails with `EAGAIN` for ever.)
pub(super) fn end_of_stream(net: &Net) -> Option<Outcome> {
    let (fd, end) = match *net {
        Net::Recv { fd, .. } | Net::RecvMsg { fd, .. } => (fd, Outcome::DONE),
        Net::Accept { fd, .. } => (fd, Outcome::from_code(errno::INVALID)),
        Net::Connect { .. } | Net::Send { .. } | Net::SendMsg { .. } => return None,
    };
    is_shut_down(fd).then_some(end)
}
