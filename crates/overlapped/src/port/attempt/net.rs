//! Sockets, by plain system calls.

use std::os::fd::RawFd;

use super::{SEND_FLAGS, poll_for, poll_now, retried};
use crate::op::{Interest, Message, Net, Outcome};

/// # Safety
/// As for [`attempt`](super::attempt).
pub(super) unsafe fn start(net: &Net) -> i32 {
    match *net {
        // SAFETY: `addr` is valid for writes; its `len` says how much room there is.
        Net::Accept { fd, addr, .. } => retried(|| unsafe {
            let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
            libc::accept4(fd, (&raw mut (*addr).storage).cast(), &raw mut (*addr).len, flags)
                as isize
        }),
        // SAFETY: `addr` is valid for reads and holds `len` bytes of address.
        Net::Connect { fd, addr, .. } => retried(|| unsafe {
            libc::connect(fd, (&raw const (*addr).storage).cast(), (*addr).len) as isize
        }),
        Net::Recv { fd, buf, len, peek, .. } => {
            let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
            // SAFETY: `buf` is valid for writes of `len` bytes.
            retried(|| unsafe { libc::recv(fd, buf.cast(), len as usize, flags) })
        }
        Net::Send { fd, buf, len, .. } => {
            // SAFETY: `buf` is valid for reads of `len` bytes.
            retried(|| unsafe { libc::send(fd, buf.cast(), len as usize, SEND_FLAGS) })
        }
        Net::RecvMsg { fd, message, peek, .. } => {
            let flags = libc::MSG_DONTWAIT | if peek { libc::MSG_PEEK } else { 0 };
            // SAFETY: the header, its slices and its address are valid for writes. The kernel
            // writes into the header's own fields only where it succeeds, so a retry finds it as
            // it was.
            retried(|| unsafe { libc::recvmsg(fd, Message::as_ptr(message).cast_mut(), flags) })
        }
        Net::SendMsg { fd, message, .. } => {
            // SAFETY: the header, its slices and its address are valid for reads.
            retried(|| unsafe { libc::sendmsg(fd, Message::as_ptr(message), SEND_FLAGS) })
        }
    }
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

pub(super) fn is_shut_down(fd: RawFd) -> bool {
    poll_for(fd, libc::POLLRDHUP, Some(0)).is_ok_and(|ready| ready & libc::POLLRDHUP != 0)
}

/// How a connect that was under way has ended, or `-EINPROGRESS`.
pub(super) fn connect_result(fd: RawFd) -> i32 {
    match poll_now(fd, Interest::Writable) {
        0 => {}
        errno if errno == -libc::EAGAIN => return -libc::EINPROGRESS,
        errno => return errno,
    }
    let mut error: libc::c_int = 0;
    let mut len = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both places are valid for writes and `len` is the room behind `error`.
    let failed = retried(|| unsafe {
        let error = (&raw mut error).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, error, &raw mut len) as isize
    });
    if failed < 0 { failed } else { -error }
}
