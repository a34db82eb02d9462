//! Transfers on any descriptor with any memory, both lent for the time of a call: what calls of C
//! are made of. The counterpart of recv(2) and its like that blocks only the calling tasklet.
//!
//! A call tries first, without waiting; only where it would have to wait it goes to the port, as an
//! operation that completes (io_uring) or by readiness. The descriptor's mode (`O_NONBLOCK`) is
//! neither asked for nor changed: a call waits unless its flags have `MSG_DONTWAIT`. `SIGPIPE` is
//! never raised.
//!
//! `limit`: how long the call may wait; where it passes, the error is that of `EAGAIN`
//! (`WouldBlock`), as at a socket's own limit. [`Cancelled`](crate::task::Cancelled) tells of a
//! deadline, and of a kill inside [`kill_as_error`](crate::task::kill_as_error).
//!
//! # Safety
//! The same for all of them: until the call returns or unwinds, the memory is valid for what the
//! call does with it and used by nobody else. Neither a kill nor a deadline ends a call before the
//! kernel has let go of the memory.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::op::{Fs, Interest, Net, Op, SocketAddrBuf, clamp};
use crate::port::control::{self, raw};
use crate::port::{attempt, is_would_block};
use crate::task::aside::in_place;
use crate::task::wait::perform;
use crate::task::waiter::deadline;
use crate::task::{UnblockError, cut_short, in_tasklet, port_waits_for_disks, unblock};
use crate::time::{Duration, deadline_in, timeout};

/// Tries, and waits by `op` where that would wait; where `op` is a readiness, tries again.
///
/// # Safety
/// As in the module's comment.
unsafe fn try_first(
    attempt: impl Fn() -> i32,
    op: Op,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let limit = limit.map(deadline_in);
    let mut result = in_place(&attempt)?;
    while is_would_block(result) {
        // SAFETY: the caller's promise; `perform` returns after the terminal completion.
        result = unsafe { perform(&op, limit) }?.result;
        if matches!(op, Op::Ready { .. }) {
            result = attempt();
        }
    }
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// One try, for `MSG_DONTWAIT`.
fn once(attempt: impl Fn() -> i32) -> io::Result<usize> {
    let result = in_place(attempt)?;
    usize::try_from(result).map_err(|_| io::Error::from_raw_os_error(-result))
}

/// recv(2).
///
/// # Errors
/// Those of recv(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for writes of `len` bytes.
///
/// ```
/// use std::io::Write;
/// use std::os::fd::AsFd;
/// use overlapped::os::fd::raw;
/// overlapped::run(|| {
///     let (mut tx, rx) = std::os::unix::net::UnixStream::pair().unwrap();
///     let reader = overlapped::spawn(move || {
///         let mut buf = [0; 8];
///         // SAFETY: the buffer is this frame's, and is not touched meanwhile.
///         let n = unsafe { raw::recv(rx.as_fd(), buf.as_mut_ptr(), buf.len(), 0, None) }.unwrap();
///         buf[..n].to_vec()
///     });
///     overlapped::yield_now();
///     tx.write_all(b"hello").unwrap();
///     assert_eq!(reader.join().unwrap(), b"hello");
/// }).unwrap();
/// ```
pub unsafe fn recv(
    fd: BorrowedFd<'_>,
    buf: *mut u8,
    len: usize,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(len));
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { raw::recv(fd, buf, len, flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let op = match raw::peeks(flags) {
        Some(peek) => Op::Net(Net::Recv { fd, buf, len, peek, nonblocking: false }),
        None => Op::Ready { fd, interest: Interest::Readable },
    };
    // SAFETY: as above.
    unsafe { try_first(attempt, op, limit) }
}

/// send(2).
///
/// # Errors
/// Those of send(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for reads of `len` bytes.
pub unsafe fn send(
    fd: BorrowedFd<'_>,
    buf: *const u8,
    len: usize,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(len));
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { raw::send(fd, buf, len, flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    // Not by the ring's own send: where a datagram socket's receiver is full, it sends nothing when
    // it tries again.
    // SAFETY: as above.
    unsafe { try_first(attempt, Op::Ready { fd, interest: Interest::Writable }, limit) }
}

/// recvmsg(2). `message` points to a `msghdr`.
///
/// # Errors
/// Those of recvmsg(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): the header and all it points to.
pub unsafe fn recvmsg(
    fd: BorrowedFd<'_>,
    message: *mut c_void,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let fd = fd.as_raw_fd();
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { raw::recvmsg(fd, message.cast(), flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let op = match raw::peeks(flags) {
        Some(peek) => {
            Op::Net(Net::RecvMsg { fd, message: message.cast(), peek, nonblocking: false })
        }
        None => Op::Ready { fd, interest: Interest::Readable },
    };
    // SAFETY: as above.
    unsafe { try_first(attempt, op, limit) }
}

/// sendmsg(2). `message` points to a `msghdr`.
///
/// # Errors
/// Those of sendmsg(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): the header and all it points to.
pub unsafe fn sendmsg(
    fd: BorrowedFd<'_>,
    message: *const c_void,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let fd = fd.as_raw_fd();
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { raw::sendmsg(fd, message.cast(), flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    // SAFETY: as above.
    unsafe { try_first(attempt, Op::Ready { fd, interest: Interest::Writable }, limit) }
}

/// read(2), at the cursor, from a socket, pipe, terminal or the like. A regular file is read, too,
/// but calls at the cursor of one file are not put in order.
///
/// # Errors
/// Those of read(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for writes of `len` bytes.
pub unsafe fn read(
    fd: BorrowedFd<'_>,
    buf: *mut u8,
    len: usize,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(len));
    let op = Op::Fs(Fs::Read { fd, buf, len, offset: None });
    // SAFETY: the caller's promise, here and below. What cannot be read without waiting says so.
    let cached = in_place(|| unsafe { attempt::read_cached(fd, buf, len, None) })?;
    if let Ok(count) = usize::try_from(cached) {
        return Ok(count);
    }
    // SAFETY: as above.
    unsafe { perform(&op, limit.map(deadline_in)) }.map(|outcome| outcome.result as usize)
}

/// write(2), at the cursor; as [`read`] otherwise.
///
/// # Errors
/// Those of write(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for reads of `len` bytes.
pub unsafe fn write(
    fd: BorrowedFd<'_>,
    buf: *const u8,
    len: usize,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(len));
    let op = Op::Fs(Fs::Write { fd, buf, len, offset: None });
    // SAFETY: the caller's promise.
    unsafe { perform(&op, limit.map(deadline_in)) }.map(|outcome| outcome.result as usize)
}

/// accept4(2) on a listener in whichever mode: the new socket. For the peer's address ask
/// getpeername(2).
///
/// Without io_uring, and where the listener is in blocking mode, the call may block the thread if
/// somebody outside takes the connection in the last moment.
///
/// # Errors
/// Those of accept4(2); see the [module's comment](self).
pub fn accept4(fd: BorrowedFd<'_>, flags: i32, limit: Option<Duration>) -> io::Result<OwnedFd> {
    let mut from = SocketAddrBuf::empty();
    let listener = fd.as_raw_fd();
    let op = Op::Net(Net::Accept { fd: listener, addr: &raw mut from, nonblocking: false });
    let limit = limit.map(deadline_in);
    if !port_waits_for_disks(&op) && !control::nonblocking(fd)? {
        let ready = Op::Ready { fd: listener, interest: Interest::Readable };
        // SAFETY: the borrow keeps the descriptor open; no memory is involved.
        unsafe { perform(&ready, limit) }?;
    }
    // SAFETY: the address is this frame's; `perform` returns after the terminal completion.
    let outcome = unsafe { perform(&op, limit) }?;
    raw::accepted(outcome.result, flags)
}

/// connect(2), on a socket in whichever mode. `addr` points to a socket address of `len` bytes.
///
/// Without io_uring, and where the socket is in blocking mode, a thread of the pool makes the call,
/// and goes on with it when the caller leaves.
///
/// # Errors
/// Those of connect(2), and `InvalidInput` for a longer address than there are; see the
/// [module's comment](self).
///
/// # Safety
/// `addr` is valid for reads of `len` bytes.
pub unsafe fn connect(
    fd: BorrowedFd<'_>,
    addr: *const u8,
    len: usize,
    limit: Option<Duration>,
) -> io::Result<()> {
    // SAFETY: the caller's promise.
    let to = unsafe { SocketAddrBuf::copied(addr, len) }?;
    let op = Op::Net(Net::Connect { fd: fd.as_raw_fd(), addr: &raw const to, nonblocking: false });
    if !in_tasklet() || port_waits_for_disks(&op) || control::nonblocking(fd)? {
        // SAFETY: the address is this frame's, the borrow keeps the descriptor open.
        return unsafe { perform(&op, limit.map(deadline_in)) }.map(drop);
    }
    let socket = control::duplicate(fd)?;
    let is_own = limit.map(deadline_in).is_some_and(|own| own < deadline());
    let call = || unblock(move || raw::connect(&socket, &to));
    match timeout(limit.unwrap_or(Duration::MAX), call) {
        Ok(connected) => connected,
        Err(UnblockError::TimedOut) if is_own => Err(io::ErrorKind::WouldBlock.into()),
        Err(UnblockError::TimedOut | UnblockError::Cancelled) => Err(cut_short()),
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}
