//! Transfers on sockets by plain calls that never wait, with memory that the caller has lent; the
//! result in the kernel's form.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use super::set_nonblocking;
use crate::op::SocketAddrBuf;
use crate::port::attempt::retried;

/// Tells whether a receive peeks; `None` if its flags are not among those that a port knows.
pub(crate) fn peeks(flags: i32) -> Option<bool> {
    match flags {
        0 => Some(false),
        libc::MSG_PEEK => Some(true),
        _ => None,
    }
}

/// Tells whether the flags say that the call is not to wait.
pub(crate) fn is_nonblocking(flags: i32) -> bool {
    flags & libc::MSG_DONTWAIT != 0
}

/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn recv(fd: RawFd, buf: *mut u8, len: u32, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::recv(fd, buf.cast(), len as usize, flags) })
}

/// # Safety
/// `buf` is valid for reads of `len` bytes.
pub(crate) unsafe fn send(fd: RawFd, buf: *const u8, len: u32, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::send(fd, buf.cast(), len as usize, flags) })
}

/// # Safety
/// `message` points to a `msghdr` all of whose parts are valid for writes.
pub(crate) unsafe fn recvmsg(fd: RawFd, message: *mut libc::msghdr, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::recvmsg(fd, message, flags) })
}

/// # Safety
/// `message` points to a `msghdr` all of whose parts are valid for reads.
pub(crate) unsafe fn sendmsg(fd: RawFd, message: *const libc::msghdr, flags: i32) -> i32 {
    let flags = flags | libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the caller's promise.
    retried(|| unsafe { libc::sendmsg(fd, message, flags) })
}

/// The socket that an accept has made, with the flags of accept4(2) and no others.
pub(crate) fn accepted(fd: RawFd, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the kernel has just made this descriptor; nobody else knows it.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    set_nonblocking(as_fd(&fd), flags & libc::SOCK_NONBLOCK != 0)?;
    let mut known = fcntl_getfd(&fd)?;
    known.set(FdFlags::CLOEXEC, flags & libc::SOCK_CLOEXEC != 0);
    fcntl_setfd(&fd, known)?;
    Ok(fd)
}

fn as_fd(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}

/// connect(2), blocking the thread where the descriptor is in blocking mode.
pub(crate) fn connect(fd: &OwnedFd, to: &SocketAddrBuf) -> io::Result<()> {
    let fd = fd.as_raw_fd();
    // SAFETY: the address is valid for reads and holds `len` bytes.
    let failed = unsafe { libc::connect(fd, (&raw const to.storage).cast(), to.len) } < 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}
