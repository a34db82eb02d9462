//! Sockets that send. An attempt is made with `MSG_DONTWAIT`, which no flag of the descriptor
//! changes.

use std::ffi::{c_int, c_void};
use std::io;

use libc::{mmsghdr, msghdr, sockaddr, socklen_t};
use overlapped::os::fd::raw;

use super::may_wait;
use super::receives::message_from;
use crate::caller::Call;
use crate::duplicates::CallFile;
use crate::query::{Direction, is_nonblocking, socket_limit};
use crate::raw::{AGAIN, Outcome, PIPE, call, give, give_int};
use crate::remainder::transfer_more;
use crate::slices::{slices_of, transfer_slices};
use crate::symbols::Symbol;
use crate::wait::{Limit, transfer_by_port, try_then_wait, wait_then_try};

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

/// Sends all bytes on a stream, with a wait after each step, as a blocking socket does. A datagram
/// is sent whole, or not at all.
unsafe fn send_bytes(
    symbol: Symbol,
    fd: c_int,
    (buf, len): (*const c_void, usize),
    flags: c_int,
    (address, address_len): (*const sockaddr, socklen_t),
) -> Outcome {
    // SAFETY: the caller's promise, handed on; within the buffer.
    let attempt = |fd: c_int, done: usize, flags: c_int| unsafe {
        call!(sendto, fd, buf.wrapping_byte_add(done), len - done, flags, address, address_len)
    };
    let Some(call) = Call::begin(symbol).filter(|_| may_wait(flags)) else {
        return attempt(fd, 0, flags);
    };
    let now = flags | libc::MSG_DONTWAIT;
    let mut first = match address.is_null() {
        true => transfer_by_port(
            &call,
            (fd, Direction::Out),
            || attempt(fd, 0, now),
            |socket, _| {
                // The library only tries: its wait would be for a number, this crate's is for a
                // file.
                let no_limit = || Err(io::ErrorKind::WouldBlock.into());
                // SAFETY: the caller's promise, handed on.
                unsafe { raw::send_within(socket, buf.cast(), len, flags, no_limit) }
            },
        ),
        false => attempt(fd, 0, now),
    };
    if first == PIPE && address.is_null() && flags & libc::MSG_NOSIGNAL == 0 {
        // The library has suppressed the signal; this call raises it.
        return attempt(fd, 0, now);
    }
    if first < 0 && first != AGAIN || first >= len as Outcome || is_nonblocking(fd) {
        return first;
    }
    let (end, quiet) = (Limit::new(socket_limit(fd, Direction::Out)), now | libc::MSG_NOSIGNAL);
    if first == AGAIN {
        first = wait_then_try(&call, (fd, Direction::Out), &end, |fd| attempt(fd, 0, now));
        if first <= 0 {
            return first;
        }
    }
    let (file, mut done) = (CallFile::new(fd), first as usize);
    while done < len {
        match transfer_more(&call, (&file, Direction::Out), &end, |fd| attempt(fd, done, quiet)) {
            count if count > 0 => done += count as usize,
            _ => break,
        }
    }
    done as Outcome
}

/// sendmsg(2). A stream sends all of it; ancillary data goes with the first byte.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sendmsg(fd: c_int, message: *const msghdr, flags: c_int) -> isize {
    // SAFETY: the caller's promise, handed on.
    let attempt = |fd: c_int, message: *const msghdr, flags: c_int| unsafe {
        call!(sendmsg, fd, message, flags)
    };
    let Some(call) = Call::begin(Symbol::sendmsg).filter(|_| may_wait(flags)) else {
        return give(attempt(fd, message, flags));
    };
    let now = flags | libc::MSG_DONTWAIT;
    let first = try_then_wait(&call, fd, Direction::Out, |fd| attempt(fd, message, now));
    if first <= 0 || is_nonblocking(fd) {
        return give(first);
    }
    let (file, end) = (CallFile::new(fd), Limit::new(socket_limit(fd, Direction::Out)));
    let quiet = now | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel has read the message, so it is valid, and so are its slices.
    let (message, slices) =
        unsafe { (*message, slices_of((*message).msg_iov, (*message).msg_iovlen as c_int)) };
    give(transfer_slices(slices, first, |rest| {
        let rest = message_from(rest);
        let rest = msghdr { msg_name: message.msg_name, msg_namelen: message.msg_namelen, ..rest };
        transfer_more(&call, (&file, Direction::Out), &end, |fd| attempt(fd, &rest, quiet))
    }))
}

/// sendmmsg(2): sends all messages, each whole.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sendmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on; within the messages.
    let attempt = |fd: c_int, done: libc::c_uint, flags: c_int| unsafe {
        call!(sendmmsg, fd, messages.wrapping_add(done as usize), count - done, flags)
    };
    let Some(call) = Call::begin(Symbol::sendmmsg).filter(|_| may_wait(flags)) else {
        return give_int(attempt(fd, 0, flags));
    };
    let now = flags | libc::MSG_DONTWAIT;
    let first = try_then_wait(&call, fd, Direction::Out, |fd| attempt(fd, 0, now));
    if first <= 0 || is_nonblocking(fd) {
        return give_int(first);
    }
    let (end, quiet) = (Limit::new(socket_limit(fd, Direction::Out)), now | libc::MSG_NOSIGNAL);
    let (file, mut done) = (CallFile::new(fd), first as libc::c_uint);
    while done < count {
        match transfer_more(&call, (&file, Direction::Out), &end, |fd| attempt(fd, done, quiet)) {
            more if more > 0 => done += more as libc::c_uint,
            _ => break,
        }
    }
    done as c_int
}
