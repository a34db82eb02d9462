//! Sockets. An attempt is made with `MSG_DONTWAIT`, which no flag of the descriptor changes.

use std::ffi::{c_int, c_void};

use libc::{mmsghdr, msghdr, sockaddr, socklen_t};

use crate::raw::{Outcome, call, give, give_int};
use crate::scope::here;
use crate::wait::{Way, is_nonblocking, limit_of, patiently, ready};

/// Attempts with the flag, patiently, where the program would wait.
fn with_flag(fd: c_int, way: Way, flags: c_int, attempt: impl Fn(c_int) -> Outcome) -> Outcome {
    if flags & libc::MSG_DONTWAIT != 0 || !here() {
        return attempt(flags);
    }
    patiently(fd, way, || attempt(flags | libc::MSG_DONTWAIT))
}

/// recv(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recv(fd: c_int, buf: *mut c_void, len: usize, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    let attempt = |flags| unsafe { call!(recvfrom, fd, buf, len, flags, 0, 0) };
    // The whole of it is one wait after another, which only the kernel counts.
    if flags & libc::MSG_WAITALL != 0 {
        // SAFETY: as above.
        return give(unsafe { receive_all(fd, buf, len, flags) });
    }
    give(with_flag(fd, Way::In, flags, attempt))
}

/// `MSG_WAITALL`: until the buffer is full, or the stream ends, or an error comes.
unsafe fn receive_all(fd: c_int, buf: *mut c_void, len: usize, flags: c_int) -> Outcome {
    let is_peek = flags & libc::MSG_PEEK != 0;
    if is_peek || !here() {
        // SAFETY: the caller's promise, handed on.
        let attempt = |flags| unsafe { call!(recvfrom, fd, buf, len, flags, 0, 0) };
        return with_flag(fd, Way::In, flags, attempt);
    }
    let mut done = 0;
    loop {
        let (at, rest) = (buf.wrapping_byte_add(done), len - done);
        // SAFETY: within the caller's buffer.
        let attempt = |flags| unsafe { call!(recvfrom, fd, at, rest, flags, 0, 0) };
        match with_flag(fd, Way::In, flags & !libc::MSG_WAITALL, attempt) {
            count if count > 0 => done += count as usize,
            end if done == 0 => return end,
            _ => return done as Outcome,
        }
        if done >= len {
            return done as Outcome;
        }
    }
}

/// recvfrom(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvfrom(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> isize {
    if address.is_null() {
        // SAFETY: the caller's promise, handed on.
        return unsafe { recv(fd, buf, len, flags) };
    }
    give(with_flag(fd, Way::In, flags, |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(recvfrom, fd, buf, len, flags, address, address_len) }
    }))
}

/// recvmsg(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(with_flag(fd, Way::In, flags, |flags| unsafe { call!(recvmsg, fd, message, flags) }))
}

/// recvmmsg(2). A limit ends it between two messages, as in Linux.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
    limit: *mut libc::timespec,
) -> c_int {
    give_int(with_flag(fd, Way::In, flags, |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(recvmmsg, fd, messages, count, flags, limit) }
    }))
}

/// send(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn send(fd: c_int, buf: *const c_void, len: usize, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    unsafe { sendto(fd, buf, len, flags, std::ptr::null(), 0) }
}

/// sendto(2). A stream takes all of it, one wait after another, as a blocking socket does.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> isize {
    // SAFETY: the caller's promise, handed on; within the buffer.
    let attempt = |done: usize, flags: c_int| unsafe {
        call!(sendto, fd, buf.wrapping_byte_add(done), len - done, flags, address, address_len)
    };
    if flags & libc::MSG_DONTWAIT != 0 || !here() {
        return give(attempt(0, flags));
    }
    give(all(fd, len, |done| attempt(done, flags | libc::MSG_DONTWAIT)))
}

/// Sends until `len` bytes have been taken: a blocking stream returns no sooner, but for an error.
/// What cannot be sent in parts (datagrams) is taken at once, or not at all.
fn all(fd: c_int, len: usize, attempt: impl Fn(usize) -> Outcome) -> Outcome {
    let mut done = 0;
    loop {
        match patiently(fd, Way::Out, || attempt(done)) {
            count if count >= 0 => done += count as usize,
            error if done == 0 => return error,
            _ => return done as Outcome,
        }
        if done >= len || is_nonblocking(fd) {
            return done as Outcome;
        }
    }
}

/// sendmsg(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(with_flag(fd, Way::Out, flags, |flags| unsafe { call!(sendmsg, fd, message, flags) }))
}

/// sendmmsg(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
) -> c_int {
    give_int(with_flag(fd, Way::Out, flags, |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(sendmmsg, fd, messages, count, flags) }
    }))
}

/// connect(2). The kernel has no attempt that cannot block, so the descriptor is made nonblocking
/// for the beginning, as the library's own sockets do.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn connect(
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let begin = || unsafe { call!(connect, fd, address, len) };
    if !here() || is_nonblocking(fd) {
        return give_int(begin());
    }
    let limit = limit_of(fd, Way::Out);
    set_nonblocking(fd, true);
    let mut outcome = begin();
    if outcome == -(libc::EINPROGRESS as isize) {
        outcome = match ready(fd, Way::Out, limit) {
            0 => error_of(fd),
            crate::raw::AGAIN => outcome,
            other => other,
        };
    }
    set_nonblocking(fd, false);
    give_int(outcome)
}

fn set_nonblocking(fd: c_int, on: bool) {
    // SAFETY: flags of a descriptor.
    unsafe {
        let flags = call!(fcntl, fd, libc::F_GETFL) as c_int;
        let flags = if on { flags | libc::O_NONBLOCK } else { flags & !libc::O_NONBLOCK };
        call!(fcntl, fd, libc::F_SETFL, flags);
    }
}

/// How a connection attempt ended.
fn error_of(fd: c_int) -> Outcome {
    let (mut error, mut len) = (0 as c_int, size_of::<c_int>() as socklen_t);
    // SAFETY: the kernel writes `len` bytes at most.
    let read = unsafe {
        call!(getsockopt, fd, libc::SOL_SOCKET, libc::SO_ERROR, &raw mut error, &raw mut len)
    };
    if read < 0 { read } else { -(error as isize) }
}

/// accept4(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn accept4(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
    flags: c_int,
) -> c_int {
    if here() && !is_nonblocking(fd) {
        match ready(fd, Way::In, limit_of(fd, Way::In)) {
            0 => {}
            other => return give_int(other),
        }
    }
    // SAFETY: the caller's promise, handed on.
    give_int(unsafe { call!(accept4, fd, address, len, flags) })
}

/// accept(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn accept(
    fd: c_int,
    address: *mut sockaddr,
    len: *mut socklen_t,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { accept4(fd, address, len, 0) }
}
