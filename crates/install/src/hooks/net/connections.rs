//! Connections begin: connect, accept.

use std::ffi::c_int;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};

use libc::{pollfd, sockaddr, socklen_t};
use overlapped::yield_now;

use super::sockets::option;
use crate::caller::Call;
use crate::pool;
use crate::raw::{Outcome, call, give_int};
use crate::symbols::Symbol;
use crate::wait::{Limit, Way, is_nonblocking, limit_of, ready};

/// connect(2).
///
/// The kernel knows no attempt that does not block, other than by the flags of the socket, which
/// are everybody's and stay as the program set them. So a stream is connected by a thread of the
/// pool, through a descriptor of its own; what a kill or a deadline leaves behind goes on by
/// itself. Datagrams are connected at once.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn connect(
    fd: c_int,
    address: *const sockaddr,
    len: socklen_t,
) -> c_int {
    if let Some(call) = Call::begin(Symbol::connect)
        && option(fd, libc::SO_TYPE).is_ok_and(|kind| kind != libc::SOCK_DGRAM)
        && !is_nonblocking(fd)
    {
        // SAFETY: the caller's promise: so many bytes.
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
    let mut copy = [0u8; size_of::<libc::sockaddr_storage>()];
    let size = len as usize;
    if address.is_null() || size > copy.len() {
        // SAFETY: the kernel refuses it.
        return unsafe { call!(connect, fd, address, len) };
    }
    // SAFETY: the caller's promise: so many bytes.
    copy[..size].copy_from_slice(unsafe { std::slice::from_raw_parts(address.cast(), size) });
    let own = match pool::duplicate(fd) {
        Ok(own) => own,
        Err(error) => return error,
    };
    pool::until_cancelled(call, move || {
        // SAFETY: a copy that the job owns, as it does the descriptor.
        unsafe { call!(connect, pool::number(&own), copy.as_ptr(), len) }
    })
    .unwrap_or_else(|error| error)
}

/// accept4(2).
#[unsafe(no_mangle)]
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
#[unsafe(no_mangle)]
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
    // SAFETY: the caller's promise, handed on.
    let plain = || unsafe { call!(accept4, fd, address, len, flags) };
    match Call::begin(symbol) {
        // What does not listen is refused at once.
        Some(call) if !is_nonblocking(fd) && option(fd, libc::SO_ACCEPTCONN) == Ok(1) => {
            accept_patiently(&call, fd, plain)
        }
        _ => plain(),
    }
}

/// Accepts once there is a connection. The kernel knows no attempt that does not block, so one
/// tasklet at a time looks and takes. A plain thread that accepts from the same listener, or
/// another process, may still be quicker: then the thread waits for the next connection.
fn accept_patiently(call: &Call, fd: c_int, accept: impl Fn() -> Outcome) -> Outcome {
    const LOCKS: usize = 64;
    static LOCKED: [AtomicBool; LOCKS] = [const { AtomicBool::new(false) }; LOCKS];
    let locked = &LOCKED[fd as usize % LOCKS];
    let end = Limit::new(limit_of(fd, Way::In));
    loop {
        if !is_readable(fd) {
            match ready(call, fd, Way::In, end.left()) {
                0 => {}
                other => return other,
            }
        }
        if locked.swap(true, Acquire) {
            yield_now();
            continue;
        }
        let outcome = is_readable(fd).then(&accept);
        locked.store(false, Release);
        if let Some(outcome) = outcome {
            return outcome;
        }
    }
}

fn is_readable(fd: c_int) -> bool {
    let mut asked = pollfd { fd, events: libc::POLLIN, revents: 0 };
    crate::hooks::poll_now(std::slice::from_mut(&mut asked)) != 0
}
