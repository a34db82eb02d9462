//! The beginning of connections: connect, accept.
//!
//! The kernel has no form of these calls that cannot block, other than by the flags of the socket,
//! which all its users share and which stay as the program set them. So they are operations of the
//! port: the ring's own, or an interruptible call on a thread.

use std::ffi::c_int;
use std::os::fd::{BorrowedFd, IntoRawFd};

use libc::{sockaddr, socklen_t};
use overlapped::os::fd::raw;
use overlapped::signal::interruptible;

use crate::caller::Call;
use crate::errors::error_number;
use crate::query::{Direction, is_nonblocking, socket_limit, socket_option};
use crate::raw::{AGAIN, FAULT, IN_PROGRESS, INVALID, Outcome, call, give_int};
use crate::symbols::Symbol;

/// connect(2). Datagram sockets connect at once. After a kill, a deadline or a signal handler the
/// connection attempt goes on by itself, as in Linux.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn connect(
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    let fits = !address.is_null() && len as usize <= size_of::<libc::sockaddr_storage>();
    if fits
        && let Some(call) = Call::begin(Symbol::connect)
        && matches!(socket_option(fd, libc::SO_TYPE), Ok(libc::SOCK_STREAM | libc::SOCK_SEQPACKET))
        && !is_nonblocking(fd)
    {
        // SAFETY: the caller's promise: `len` bytes.
        return give_int(unsafe { connect_stream(&call, fd, address, len) });
    }
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { call!(connect, fd, address, len) })
}

unsafe fn connect_stream(
    call: &Call,
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> Outcome {
    call.count();
    let limit = socket_limit(fd, Direction::Out);
    // SAFETY: borrowed for this call.
    let socket = unsafe { BorrowedFd::borrow_raw(fd) };
    let connected = interruptible(call.restart(limit.is_some()), || {
        // SAFETY: the caller's promise: `len` bytes.
        unsafe { raw::connect(socket, address.cast(), len as usize, limit) }
    });
    match connected.map_err(|error| error_number(&error)) {
        Ok(()) => 0,
        // At the limit the connection attempt goes on. One of a Unix socket has not begun.
        Err(AGAIN) if socket_option(fd, libc::SO_DOMAIN) != Ok(libc::AF_UNIX) => IN_PROGRESS,
        Err(error) => error,
    }
}

/// accept4(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { accept_by(Symbol::accept4, fd, address, len, flags) })
}

/// accept(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn accept(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { accept_by(Symbol::accept, fd, address, len, 0) })
}

unsafe fn accept_by(
    symbol: Symbol,
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> Outcome {
    const FLAGS: c_int = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    let call = match Call::begin(symbol) {
        // A socket that does not listen, or an unknown flag, is refused at once.
        Some(call)
            if flags & !FLAGS == 0
                && !is_nonblocking(fd)
                && socket_option(fd, libc::SO_ACCEPTCONN) == Ok(1) =>
        {
            call
        }
        // SAFETY: the caller's promise, handed on.
        _ => return unsafe { call!(accept4, fd, address, len, flags) },
    };
    // The kernel would find these errors only after it has taken a connection, which it would drop.
    if !address.is_null() {
        // SAFETY: the caller's promise: null, or a length.
        match unsafe { len.as_ref() } {
            None => return FAULT,
            Some(len) if *len > c_int::MAX as socklen_t => return INVALID,
            Some(_) => {}
        }
    }
    call.count();
    let limit = socket_limit(fd, Direction::In);
    // SAFETY: borrowed for this call.
    let listener = unsafe { BorrowedFd::borrow_raw(fd) };
    let accepted = interruptible(call.restart(limit.is_some()), || {
        // SAFETY: the caller's promise: room for an address, and how much.
        unsafe { raw::accept4(listener, address.cast(), len, flags, limit) }
    });
    match accepted {
        Ok(socket) => socket.into_raw_fd() as Outcome,
        Err(error) => error_number(&error),
    }
}
