//! Transfers on sockets by plain calls that never wait, with memory that the caller has lent; the
//! result in the kernel's form.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};

use crate::sys::address::SocketAddrBuf;
use crate::sys::descriptor::{self, set_nonblocking};
use crate::sys::errno::to_result;
use crate::sys::native::abi::{SOCK_CLOEXEC, SOCK_NONBLOCK, accept4};
use crate::sys::thread::interruptible::Interruptible;

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

/// Returns the socket that an accept has made, with the flags of accept4(2) and no others.
///
/// # Safety
/// `value` is the result of an accept that has succeeded, and no other code knows it.
pub(crate) unsafe fn accepted(value: usize, flags: i32) -> io::Result<OwnedFd> {
    // SAFETY: the caller's promise.
    let fd = unsafe { descriptor::from_value(value) };
    set_nonblocking(as_fd(&fd), flags & SOCK_NONBLOCK != 0)?;
    let mut known = fcntl_getfd(&fd)?;
    known.set(FdFlags::CLOEXEC, flags & SOCK_CLOEXEC != 0);
    fcntl_setfd(&fd, known)?;
    Ok(fd)
}

fn as_fd(fd: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(fd)
}

/// Calls accept4(2), with the peer's address, blocking the thread if the listener is in blocking
/// mode.
pub(crate) fn accept(
    listener: &OwnedFd,
    flags: i32,
    interruptible: &Interruptible,
) -> io::Result<(OwnedFd, SocketAddrBuf)> {
    let mut from = SocketAddrBuf::empty();
    let (address, len) = ((&raw mut from.storage).cast(), &raw mut from.len);
    // SAFETY: the storage has room for any address, and `len` says how much.
    let call = || unsafe { accept4(listener.as_raw_fd(), address, len, flags) } as isize;
    let accepted = to_result(interruptible.call(call))?;
    // SAFETY: the kernel has just made this descriptor; no other code knows it.
    Ok((unsafe { OwnedFd::from_raw_fd(accepted) }, from))
}

/// The errno of a connect on a socket whose connect has been begun and has not ended.
pub(crate) const UNDER_WAY: i32 = libc::EALREADY;

/// Calls connect(2), blocking the thread if the socket is in blocking mode. One that is
/// interrupted is not made again: the first has begun it, and goes on.
pub(crate) fn connect(
    socket: &OwnedFd,
    to: &SocketAddrBuf,
    interruptible: &Interruptible,
) -> io::Result<()> {
    let connected = interruptible.call(|| match connect_now(as_fd(socket), to) {
        Ok(()) => 0,
        Err(_) => -1,
    });
    to_result(connected).map(drop)
}

/// Calls connect(2) once.
pub(crate) fn connect_now(fd: BorrowedFd<'_>, to: &SocketAddrBuf) -> io::Result<()> {
    // SAFETY: the address is valid for reads and holds `len` bytes.
    let failed =
        unsafe { libc::connect(fd.as_raw_fd(), (&raw const to.storage).cast(), to.len) } < 0;
    if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Makes a TCP socket forget a connect that has failed with `errno`. If a failure was read from the
/// socket's error, as by the ring, and not from connect(2), the next connect fails with
/// ECONNABORTED, and only the one after it begins anew. So this makes one connect, to no address. A
/// socket in any other state refuses that with EINVAL.
pub(crate) fn forget_failed_connect(fd: BorrowedFd<'_>, errno: i32) {
    let is_end_of_attempt = [
        libc::ECONNREFUSED,
        libc::ECONNRESET,
        libc::ECONNABORTED,
        libc::ETIMEDOUT,
        libc::EHOSTUNREACH,
        libc::ENETUNREACH,
        libc::EACCES,
        libc::EPERM,
        libc::ENOPROTOOPT,
        libc::EPIPE,
    ];
    if is_end_of_attempt.contains(&errno) {
        let family = libc::AF_INET as libc::sa_family_t;
        let len = size_of_val(&family) as libc::socklen_t;
        // SAFETY: the address is valid for reads; it consists of a family alone, whose size is
        // given.
        unsafe { libc::connect(fd.as_raw_fd(), (&raw const family).cast(), len) };
    }
}
