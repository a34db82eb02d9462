//! Single tries of transfers on a socket, with memory that the caller has lent. Results are in the
//! kernel's form: a failure is the negated error number.
//!
//! No receive or send waits, even if the socket is in blocking mode, and no send raises SIGPIPE.

use std::os::fd::RawFd;

use crate::sys::address::SocketAddrBuf;
use crate::sys::errno::retried;
use crate::sys::native::abi::{SOCK_CLOEXEC, SOCK_NONBLOCK, accept4};
use crate::sys::readiness::{Interest, poll_now};

/// The flag of a receive that leaves the bytes in place.
pub(crate) const PEEK: i32 = libc::MSG_PEEK;

/// Calls accept4(2): the socket is close-on-exec and non-blocking. Waits if the listener is in
/// blocking mode.
///
/// # Safety
/// `address` is valid for writes; its `len` says how much room there is.
pub(crate) unsafe fn accept(fd: RawFd, address: *mut SocketAddrBuf) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe {
        let flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
        accept4(fd, (&raw mut (*address).storage).cast(), &raw mut (*address).len, flags) as isize
    })
}

/// Calls connect(2). Waits if the socket is in blocking mode.
///
/// # Safety
/// `address` is valid for reads and holds `len` bytes of address.
pub(crate) unsafe fn connect(fd: RawFd, address: *const SocketAddrBuf) -> i32 {
    // SAFETY: the caller's promise.
    retried(|| unsafe {
        libc::connect(fd, (&raw const (*address).storage).cast(), (*address).len) as isize
    })
}

/// Calls recv(2).
///
/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn recv(fd: RawFd, buf: *mut u8, len: u32, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::recv(fd, buf.cast(), len as usize, flags) })
}

/// Calls send(2).
///
/// # Safety
/// `buf` is valid for reads of `len` bytes.
pub(crate) unsafe fn send(fd: RawFd, buf: *const u8, len: u32, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::send(fd, buf.cast(), len as usize, flags) })
}

/// Calls recvmsg(2). The kernel writes into the header's own fields only if it succeeds, so a
/// retry finds it as it was.
///
/// # Safety
/// `message` points to a `msghdr` all of whose parts are valid for writes.
pub(crate) unsafe fn recvmsg(fd: RawFd, message: *mut libc::msghdr, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::recvmsg(fd, message, flags) })
}

/// Calls sendmsg(2).
///
/// # Safety
/// `message` points to a `msghdr` all of whose parts are valid for reads.
pub(crate) unsafe fn sendmsg(fd: RawFd, message: *const libc::msghdr, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::sendmsg(fd, message, flags) })
}

/// Returns the result of a connect that was under way, or `-EINPROGRESS`.
pub(crate) fn connect_result(fd: RawFd) -> i32 {
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
