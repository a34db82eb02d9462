//! Sockets. An attempt is made with `MSG_DONTWAIT`, which no flag of the descriptor changes.

use std::ffi::{c_int, c_void};

use libc::{mmsghdr, msghdr, sockaddr, socklen_t};
use overlapped::os::fd::raw;

use crate::caller::Call;
use crate::raw::{Outcome, PIPE, call, give, give_int};
use crate::symbols::Symbol;
use crate::wait::{Way, all_slices, is_nonblocking, patiently, transferred};

/// Attempts with the flag, patiently, where the program would wait.
fn with_flag(
    symbol: Symbol,
    (fd, way, flags): (c_int, Way, c_int),
    attempt: impl Fn(c_int) -> Outcome,
) -> Outcome {
    match Call::begin(symbol) {
        Some(call) if flags & libc::MSG_DONTWAIT == 0 => {
            patiently(&call, fd, way, || attempt(flags | libc::MSG_DONTWAIT))
        }
        _ => attempt(flags),
    }
}

/// recv(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn recv(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(unsafe { receive(Symbol::recv, fd, (buf, len), flags) })
}

/// Receives without a name.
unsafe fn receive(
    symbol: Symbol,
    fd: c_int,
    (buf, len): (*mut c_void, usize),
    flags: c_int,
) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let attempt = |flags| unsafe { call!(recvfrom, fd, buf, len, flags, 0, 0) };
    let is_whole = flags & libc::MSG_WAITALL != 0 && flags & libc::MSG_PEEK == 0;
    match Call::begin(symbol) {
        Some(call) if is_whole && flags & libc::MSG_DONTWAIT == 0 => {
            // SAFETY: the caller's promise, handed on.
            unsafe { receive_all(&call, fd, (buf, len), flags) }
        }
        Some(call) if flags & libc::MSG_DONTWAIT == 0 => {
            let now = || attempt(flags | libc::MSG_DONTWAIT);
            transferred(&call, (fd, Way::In), now, |socket, limit| {
                // SAFETY: the caller's promise, handed on.
                unsafe { raw::recv_within(socket, buf.cast(), len, flags, limit) }
            })
        }
        _ => attempt(flags),
    }
}

/// `MSG_WAITALL`: until the buffer is full, or the stream ends, or an error comes. (A datagram is
/// whole at once, but that is known only by its socket.)
unsafe fn receive_all(
    call: &Call,
    fd: c_int,
    (buf, len): (*mut c_void, usize),
    flags: c_int,
) -> Outcome {
    let is_stream = is_stream(fd);
    let flags = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
    let mut done = 0;
    loop {
        let (at, rest) = (buf.wrapping_byte_add(done), len - done);
        // SAFETY: within the caller's buffer.
        let attempt = || unsafe { call!(recvfrom, fd, at, rest, flags, 0, 0) };
        match patiently(call, fd, Way::In, attempt) {
            count if count > 0 => done += count as usize,
            end if done == 0 => return end,
            _ => return done as Outcome,
        }
        if done >= len || !is_stream {
            return done as Outcome;
        }
    }
}

fn is_stream(fd: c_int) -> bool {
    option(fd, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
}

/// An option of a socket; the error number where there is none.
pub(super) fn option(fd: c_int, name: c_int) -> Result<c_int, Outcome> {
    let (mut value, mut len) = (0 as c_int, size_of::<c_int>() as socklen_t);
    // SAFETY: the kernel writes `len` bytes at most.
    let read =
        unsafe { call!(getsockopt, fd, libc::SOL_SOCKET, name, &raw mut value, &raw mut len) };
    if read < 0 { Err(read) } else { Ok(value) }
}

/// recv(3) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __recv_chk(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
) -> isize {
    crate::hooks::must_fit(len, room);
    // SAFETY: the caller's promise, handed on.
    unsafe { recv(fd, buf, len, flags) }
}

/// recvfrom(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
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
        return give(unsafe { receive(Symbol::recvfrom, fd, (buf, len), flags) });
    }
    give(with_flag(Symbol::recvfrom, (fd, Way::In, flags), |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(recvfrom, fd, buf, len, flags, address, address_len) }
    }))
}

/// recvfrom(3) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __recvfrom_chk(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    room: usize,
    flags: c_int,
    address: *mut sockaddr,
    address_len: *mut socklen_t,
) -> isize {
    crate::hooks::must_fit(len, room);
    // SAFETY: the caller's promise, handed on.
    unsafe { recvfrom(fd, buf, len, flags, address, address_len) }
}

/// recvmsg(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn recvmsg(fd: c_int, message: *mut msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    let attempt = |flags: c_int| unsafe { call!(recvmsg, fd, message, flags) };
    give(match Call::begin(Symbol::recvmsg) {
        Some(call) if flags & libc::MSG_DONTWAIT == 0 => {
            let now = || attempt(flags | libc::MSG_DONTWAIT);
            transferred(&call, (fd, Way::In), now, |socket, limit| {
                // SAFETY: the caller's promise, handed on.
                unsafe { raw::recvmsg_within(socket, message.cast(), flags, limit) }
            })
        }
        _ => attempt(flags),
    })
}

/// recvmmsg(2). A limit ends it between two messages, as in Linux.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
    limit: *mut libc::timespec,
) -> c_int {
    give_int(with_flag(Symbol::recvmmsg, (fd, Way::In, flags), |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(recvmmsg, fd, messages, count, flags, limit) }
    }))
}

/// send(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn send(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(unsafe { send_bytes(Symbol::send, fd, (buf, len), flags, (std::ptr::null(), 0)) })
}

/// sendto(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sendto(
    fd: c_int,
    buf: *const c_void,
    len: usize,
    flags: c_int,
    address: *const sockaddr,
    address_len: socklen_t,
) -> isize {
    // SAFETY: the caller's promise, handed on.
    give(unsafe { send_bytes(Symbol::sendto, fd, (buf, len), flags, (address, address_len)) })
}

/// A stream takes all of it, one wait after another, as a blocking socket does. What cannot be sent
/// in parts (datagrams) is taken at once, or not at all.
unsafe fn send_bytes(
    symbol: Symbol,
    fd: c_int,
    (buf, len): (*const c_void, usize),
    flags: c_int,
    (address, address_len): (*const sockaddr, socklen_t),
) -> Outcome {
    // SAFETY: the caller's promise, handed on; within the buffer.
    let attempt = |done: usize, flags: c_int| unsafe {
        call!(sendto, fd, buf.wrapping_byte_add(done), len - done, flags, address, address_len)
    };
    let call = match Call::begin(symbol) {
        Some(call) if flags & libc::MSG_DONTWAIT == 0 => call,
        _ => return attempt(0, flags),
    };
    let send = |done: usize| {
        let now = || attempt(done, flags | libc::MSG_DONTWAIT);
        if !address.is_null() {
            return patiently(&call, fd, Way::Out, now);
        }
        transferred(&call, (fd, Way::Out), now, |socket, limit| {
            let rest = buf.cast::<u8>().wrapping_add(done);
            // SAFETY: the caller's promise, handed on; within the buffer.
            unsafe { raw::send_within(socket, rest, len - done, flags, limit) }
        })
    };
    let mut done = 0;
    loop {
        match send(done) {
            count if count >= 0 => done += count as usize,
            PIPE if flags & libc::MSG_NOSIGNAL == 0 && done == 0 => {
                // The library has held the signal back; the kernel sends it again.
                return attempt(0, flags | libc::MSG_DONTWAIT);
            }
            error if done == 0 => return error,
            _ => return done as Outcome,
        }
        if done >= len || is_nonblocking(fd) {
            return done as Outcome;
        }
    }
}

/// sendmsg(2). A stream takes all of it; ancillary data goes with the first byte.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    let attempt =
        |message: *const msghdr, flags: c_int| unsafe { call!(sendmsg, fd, message, flags) };
    let call = match Call::begin(Symbol::sendmsg) {
        Some(call) if flags & libc::MSG_DONTWAIT == 0 => call,
        _ => return give(attempt(message, flags)),
    };
    let now = flags | libc::MSG_DONTWAIT;
    let first = patiently(&call, fd, Way::Out, || attempt(message, now));
    if first <= 0 || is_nonblocking(fd) {
        return give(first);
    }
    // SAFETY: the kernel has read it, so it is one; so are its slices.
    let (message, slices) = unsafe {
        let message = *message;
        let count = message.msg_iovlen;
        (message, if count == 0 { &[] } else { std::slice::from_raw_parts(message.msg_iov, count) })
    };
    give(all_slices(slices, first, |rest| {
        let rest = msghdr {
            msg_iov: rest.as_ptr().cast_mut(),
            msg_iovlen: rest.len(),
            msg_control: std::ptr::null_mut(),
            msg_controllen: 0,
            ..message
        };
        patiently(&call, fd, Way::Out, || attempt(&rest, now))
    }))
}

/// sendmmsg(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
) -> c_int {
    give_int(with_flag(Symbol::sendmmsg, (fd, Way::Out, flags), |flags| {
        // SAFETY: the caller's promise, handed on.
        unsafe { call!(sendmmsg, fd, messages, count, flags) }
    }))
}
