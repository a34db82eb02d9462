//! Sockets that receive. An attempt is made with `MSG_DONTWAIT`, which no flag of the descriptor
//! changes.

use std::ffi::{c_int, c_void};
use std::time::Duration;

use libc::{iovec, mmsghdr, msghdr, sockaddr, socklen_t};
use overlapped::os::fd::raw;
use overlapped::signal::{Restart, interruptible};
use overlapped::time::try_sleep;

use super::may_wait;
use crate::caller::Call;
use crate::duplicates::CallFile;
use crate::query::{Direction, is_nonblocking, is_shut_down, socket_limit, socket_option};
use crate::raw::{AGAIN, Outcome, call, give, give_int};
use crate::remainder::transfer_more;
use crate::slices::{slices_of, transfer_slices};
use crate::symbols::Symbol;
use crate::timespec::duration;
use crate::wait::{Limit, transfer_by_port, try_then_wait, wait_then_try};

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

/// Receives without the sender's address.
unsafe fn receive(
    symbol: Symbol,
    fd: c_int,
    (buf, len): (*mut c_void, usize),
    flags: c_int,
) -> Outcome {
    // SAFETY: the caller's promise, handed on; within the buffer.
    let attempt = |fd: c_int, done: usize, flags: c_int| unsafe {
        call!(recvfrom, fd, buf.wrapping_byte_add(done), len - done, flags, 0, 0)
    };
    let Some(call) = Call::begin(symbol).filter(|_| may_wait(flags)) else {
        return attempt(fd, 0, flags);
    };
    if is_whole(fd, flags) {
        return receive_all(&call, fd, (len, flags), attempt);
    }
    let now = || attempt(fd, 0, flags | libc::MSG_DONTWAIT);
    transfer_by_port(&call, (fd, Direction::In), now, |socket, limit| {
        // SAFETY: the caller's promise, handed on.
        unsafe { raw::recv_within(socket, buf.cast(), len, flags, limit) }
    })
}

/// Tells whether a receive must fill its buffer: `MSG_WAITALL` on a stream. (A datagram is whole at
/// once.)
fn is_whole(fd: c_int, flags: c_int) -> bool {
    flags & libc::MSG_WAITALL != 0 && socket_option(fd, libc::SO_TYPE) == Ok(libc::SOCK_STREAM)
}

/// Receives until `len` bytes have come (`MSG_WAITALL`), or the stream ends, or an error comes.
/// `attempt` gets the descriptor, the number of bytes received, and the flags.
fn receive_all(
    call: &Call,
    fd: c_int,
    (len, flags): (usize, c_int),
    attempt: impl Fn(c_int, usize, c_int) -> Outcome,
) -> Outcome {
    let now = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
    let mut first = attempt(fd, 0, now);
    if is_nonblocking(fd) {
        return first;
    }
    let end = Limit::new(socket_limit(fd, Direction::In));
    if first == AGAIN {
        first = wait_then_try(call, (fd, Direction::In), &end, |fd| attempt(fd, 0, now));
    }
    if first <= 0 {
        return first;
    }
    if flags & libc::MSG_PEEK != 0 {
        if socket_option(fd, libc::SO_DOMAIN) == Ok(libc::AF_UNIX) {
            // A Unix socket peeks once.
            return first;
        }
        return peek_all(fd, (len, first), &end, || attempt(fd, 0, now));
    }
    let (file, mut done) = (CallFile::new(fd), first as usize);
    while done < len {
        match transfer_more(call, (&file, Direction::In), &end, |fd| attempt(fd, done, now)) {
            count if count > 0 => done += count as usize,
            _ => break,
        }
    }
    done as Outcome
}

/// Peeks until there are `len` bytes. The bytes that are there make the socket ready, so readiness
/// does not reveal new ones.
fn peek_all(
    fd: c_int,
    (len, first): (usize, Outcome),
    end: &Limit,
    attempt: impl Fn() -> Outcome,
) -> Outcome {
    const RECHECK_INTERVAL: Duration = Duration::from_millis(1);
    let mut seen = first;
    while (seen as usize) < len && !end.is_over() {
        let is_last = is_shut_down(fd);
        if !is_last && interruptible(Restart::No, || try_sleep(RECHECK_INTERVAL)).is_err() {
            break;
        }
        seen = attempt().max(seen);
        if is_last {
            break;
        }
    }
    seen
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
    // SAFETY: the caller's promise, handed on; within the buffer. The first step asks for the
    // address.
    let attempt = |fd: c_int, done: usize, flags: c_int| unsafe {
        let (rest, left) = (buf.wrapping_byte_add(done), len - done);
        match done {
            0 => call!(recvfrom, fd, rest, left, flags, address, address_len),
            _ => call!(recvfrom, fd, rest, left, flags, 0, 0),
        }
    };
    give(match Call::begin(Symbol::recvfrom).filter(|_| may_wait(flags)) {
        None => attempt(fd, 0, flags),
        Some(call) if is_whole(fd, flags) => receive_all(&call, fd, (len, flags), attempt),
        Some(call) => {
            try_then_wait(&call, fd, Direction::In, |fd| attempt(fd, 0, flags | libc::MSG_DONTWAIT))
        }
    })
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
    let attempt = |fd: c_int, flags: c_int| unsafe { call!(recvmsg, fd, message, flags) };
    let Some(call) = Call::begin(Symbol::recvmsg).filter(|_| may_wait(flags)) else {
        return give(attempt(fd, flags));
    };
    let now = flags & !libc::MSG_WAITALL | libc::MSG_DONTWAIT;
    if !is_whole(fd, flags) || flags & libc::MSG_PEEK != 0 {
        return give(transfer_by_port(
            &call,
            (fd, Direction::In),
            || attempt(fd, now),
            |socket, limit| {
                // SAFETY: the caller's promise, handed on.
                unsafe { raw::recvmsg_within(socket, message.cast(), flags, limit) }
            },
        ));
    }
    let first = try_then_wait(&call, fd, Direction::In, |fd| attempt(fd, now));
    if first <= 0 || is_nonblocking(fd) {
        return give(first);
    }
    // SAFETY: the kernel has read the message, so it is valid.
    if unsafe { !(*message).msg_control.is_null() } {
        // The message has room for descriptors: the receive stops where they may come.
        return give(first);
    }
    let (file, end) = (CallFile::new(fd), Limit::new(socket_limit(fd, Direction::In)));
    // SAFETY: as above; so are its slices.
    let slices = unsafe { slices_of((*message).msg_iov, (*message).msg_iovlen as c_int) };
    give(transfer_slices(slices, first, |rest| {
        transfer_more(&call, (&file, Direction::In), &end, |fd| {
            let mut rest = message_from(rest);
            // SAFETY: the slices are the caller's, for the kernel to write to.
            unsafe { call!(recvmsg, fd, &raw mut rest, now) }
        })
    }))
}

/// Makes a message header without an address and without control data.
pub(super) fn message_from(slices: &[iovec]) -> msghdr {
    // SAFETY: zeros are the empty header.
    let mut header = unsafe { std::mem::zeroed::<msghdr>() };
    header.msg_iov = slices.as_ptr().cast_mut();
    header.msg_iovlen = slices.len() as _;
    header
}

/// recvmmsg(2): receives as many messages as there is room for, or one and those that are there
/// then (`MSG_WAITFORONE`). A limit ends it between two messages, as in Linux.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn recvmmsg(
    fd: c_int,
    messages: *mut mmsghdr,
    count: libc::c_uint,
    flags: c_int,
    limit: *mut libc::timespec,
) -> c_int {
    let Some(call) = Call::begin(Symbol::recvmmsg).filter(|_| may_wait(flags)) else {
        // SAFETY: the caller's promise, handed on.
        return give_int(unsafe { call!(recvmmsg, fd, messages, count, flags, limit) });
    };
    // SAFETY: the caller's promise, handed on; within the messages. The kernel updates the limit,
    // and refuses a malformed one.
    let attempt = |fd: c_int, done: libc::c_uint| unsafe {
        let flags = flags | libc::MSG_DONTWAIT;
        call!(recvmmsg, fd, messages.wrapping_add(done as usize), count - done, flags, limit)
    };
    let first = try_then_wait(&call, fd, Direction::In, |fd| attempt(fd, 0));
    if first <= 0 || flags & libc::MSG_WAITFORONE != 0 || is_nonblocking(fd) {
        return give_int(first);
    }
    // SAFETY: the caller's promise: null, or a time.
    let end = Limit::new(unsafe { limit.as_ref() }.and_then(duration));
    let (file, own) = (CallFile::new(fd), Limit::new(socket_limit(fd, Direction::In)));
    let mut done = first as libc::c_uint;
    while done < count && !end.is_over() {
        match transfer_more(&call, (&file, Direction::In), &own, |fd| attempt(fd, done)) {
            more if more > 0 => done += more as libc::c_uint,
            _ => break,
        }
    }
    done as c_int
}
