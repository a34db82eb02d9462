//! Transfers on any descriptor and any memory, both borrowed for the time of a call. They are the
//! counterparts of recv(2) and its like, and block only the calling tasklet. Replacements of C's
//! calls are built on them.
//!
//! A call first tries without waiting. If it would have to wait, it goes to the port, as an
//! operation that completes (io_uring) or by readiness. While a scheduler's receives find nothing
//! when they are tried, they go to the port at once. That is the case in a server that takes turns
//! with each of its clients. The descriptor's mode (`O_NONBLOCK`) is neither read nor changed: a
//! call waits unless its flags have `MSG_DONTWAIT`. `SIGPIPE` is never raised.
//!
//! `limit` is the longest time that the call may wait. When it passes, the error is `EAGAIN`
//! (`WouldBlock`), as at a socket's own limit. Inside
//! [`interruptible`](crate::signal::interruptible) signal handlers of both kinds end a wait with a
//! limit, as in signal(7). The error is [`Cancelled`] at a deadline, and after a kill inside
//! [`kill_as_error`](crate::task::kill_as_error).
//!
//! # Safety
//! The same holds for all of them: until the call returns or unwinds, the memory is valid for the
//! reads or writes that the call makes, and used by no other code. Neither a kill nor a deadline
//! ends a call before the kernel has let go of the memory.

mod transfer;

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use crate::descriptor::wait_ready;
use crate::op::{Fs, Net, Op, clamp};
use crate::sys::address::SocketAddrBuf;
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::errno::{self, WOULD_BLOCK};
use crate::sys::file;
use crate::sys::readiness::Interest;
use crate::sys::socket::{self, raw};
use crate::sys::thread::interruptible::Interruptible;
use crate::task::blocking::{in_place, on_interruptible_thread};
use crate::task::wait::perform;
use crate::task::waiter::deadline;
use crate::task::{Cancelled, in_tasklet, port_does};
use crate::time::{Duration, deadline_in, timeout};
use transfer::{Transfer, once, receive, send_by};

/// Receives: recv(2).
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
///         // SAFETY: the buffer lies in this frame, and is not touched meanwhile.
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
    // SAFETY: the caller's promise.
    unsafe { recv_within(fd, buf, len, flags, || Ok(limit)) }
}

/// Receives as [`recv`], for callers that must ask for the limit first, such as a descriptor's own
/// (`SO_RCVTIMEO`). `limit` is called if the call would have to wait, or is not tried first. Its
/// error ends the call: `WouldBlock` if the descriptor is not to be waited for (`O_NONBLOCK`).
///
/// # Errors
/// Those of recv(2), and those of `limit`; see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for writes of `len` bytes.
pub unsafe fn recv_within(
    fd: BorrowedFd<'_>,
    buf: *mut u8,
    len: usize,
    flags: i32,
    limit: impl FnOnce() -> io::Result<Option<Duration>>,
) -> io::Result<usize> {
    let (socket, fd, len) = (fd, fd.as_raw_fd(), clamp(len));
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { socket::transfer::recv(fd, buf, len, flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let (once, wait) =
        receive(flags, |peek, nonblocking| Net::Recv { fd, buf, len, peek, nonblocking });
    // SAFETY: as above.
    unsafe { Transfer { fd: socket, attempt, once, wait }.run(limit) }
}

/// Sends: send(2).
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
    // SAFETY: the caller's promise.
    unsafe { send_within(fd, buf, len, flags, || Ok(limit)) }
}

/// Sends as [`send`], for callers that must ask for the limit first, as [`recv_within`].
///
/// # Errors
/// Those of send(2), and those of `limit`; see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): `buf`, for reads of `len` bytes.
pub unsafe fn send_within(
    fd: BorrowedFd<'_>,
    buf: *const u8,
    len: usize,
    flags: i32,
    limit: impl FnOnce() -> io::Result<Option<Duration>>,
) -> io::Result<usize> {
    let (socket, fd, len) = (fd, fd.as_raw_fd(), clamp(len));
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { socket::transfer::send(fd, buf, len, flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let (once, wait) = send_by(flags, || Net::Send { fd, buf, len, nonblocking: true });
    // SAFETY: as above.
    unsafe { Transfer { fd: socket, attempt, once, wait }.run(limit) }
}

/// Receives a message: recvmsg(2). `message` points to a `msghdr`.
///
/// # Errors
/// Those of recvmsg(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): the header and all that it points to.
pub unsafe fn recvmsg(
    fd: BorrowedFd<'_>,
    message: *mut c_void,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    // SAFETY: the caller's promise.
    unsafe { recvmsg_within(fd, message, flags, || Ok(limit)) }
}

/// Receives as [`recvmsg`], for callers that must ask for the limit first, as [`recv_within`].
///
/// # Errors
/// Those of recvmsg(2), and those of `limit`; see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): the header and all that it points to.
pub unsafe fn recvmsg_within(
    fd: BorrowedFd<'_>,
    message: *mut c_void,
    flags: i32,
    limit: impl FnOnce() -> io::Result<Option<Duration>>,
) -> io::Result<usize> {
    let (socket, fd) = (fd, fd.as_raw_fd());
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { socket::transfer::recvmsg(fd, message.cast(), flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let (once, wait) = receive(flags, |peek, nonblocking| Net::RecvMsg {
        fd,
        message: message.cast(),
        peek,
        nonblocking,
    });
    // SAFETY: as above.
    unsafe { Transfer { fd: socket, attempt, once, wait }.run(limit) }
}

/// Sends a message: sendmsg(2). `message` points to a `msghdr`.
///
/// # Errors
/// Those of sendmsg(2); see the [module's comment](self).
///
/// # Safety
/// See the [module's comment](self): the header and all that it points to.
pub unsafe fn sendmsg(
    fd: BorrowedFd<'_>,
    message: *const c_void,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<usize> {
    let (socket, fd) = (fd, fd.as_raw_fd());
    // SAFETY: the caller's promise, here and below.
    let attempt = || unsafe { socket::transfer::sendmsg(fd, message.cast(), flags) };
    if raw::is_nonblocking(flags) {
        return once(attempt);
    }
    let message = message.cast();
    let (once, wait) = send_by(flags, || Net::SendMsg { fd, message, nonblocking: true });
    // SAFETY: as above.
    unsafe { Transfer { fd: socket, attempt, once, wait }.run(|| Ok(limit)) }
}

/// Reads: read(2), at the cursor, from a socket, pipe, terminal or the like. A regular file is
/// read, too, but calls at the cursor of one file do not take turns.
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
    // SAFETY: the caller's promise, here and below. A descriptor that cannot be read without
    // waiting gives an error.
    let cached = in_place(|| unsafe { file::transfer::read_cached(fd, buf, len, None) })?;
    if let Ok(count) = usize::try_from(cached) {
        return Ok(count);
    }
    // SAFETY: as above.
    unsafe { perform(&op, limit.map(deadline_in)) }
}

/// Writes: write(2), at the cursor, as [`read`].
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
    unsafe { perform(&op, limit.map(deadline_in)) }
}

/// Accepts a connection on a listener in either mode: accept4(2). Returns the new socket. Unless
/// `address` is null, the peer's address is written there, as far as the `*len` bytes of room go,
/// and its length to `len`.
///
/// Without io_uring, and if the listener is in blocking mode, a thread of its own takes the
/// connection once there is one: another process, or a plain thread, may have been quicker.
///
/// # Errors
/// Those of accept4(2); see the [module's comment](self).
///
/// # Safety
/// `address` is null, or valid for writes of `*len` bytes, and `len` for reads and writes.
pub unsafe fn accept4(
    fd: BorrowedFd<'_>,
    address: *mut u8,
    len: *mut u32,
    flags: i32,
    limit: Option<Duration>,
) -> io::Result<OwnedFd> {
    let mut from = SocketAddrBuf::empty();
    let listener = fd.as_raw_fd();
    let op = Op::Net(Net::Accept { fd: listener, addr: &raw mut from, nonblocking: false });
    let limit = limit.map(deadline_in);
    let may_block = !port_does(&op) && !descriptor::nonblocking(fd)?;
    if may_block {
        wait_ready(fd, Interest::Readable, limit)?;
    }
    let accepted = if may_block && in_tasklet() {
        let listener = descriptor::duplicate(fd)?;
        let call = move |interruptible: &_| raw::accept(&listener, flags, interruptible);
        let (socket, its_address) = on_own_thread("a connection", limit, call)?;
        from = its_address;
        socket
    } else {
        // SAFETY: the address lies in this frame; `perform` returns after the terminal completion.
        let value = unsafe { perform(&op, limit) }?;
        // SAFETY: the kernel has just made this descriptor.
        unsafe { raw::accepted(value, flags) }?
    };
    if !address.is_null() {
        // SAFETY: the caller's promise.
        unsafe { from.copy_to(address, len) };
    }
    Ok(accepted)
}

/// Connects a socket in either mode: connect(2). `addr` points to a socket address of `len` bytes.
/// At `limit` the error is `WouldBlock` for all families, and the connection goes on in the kernel.
///
/// Without io_uring, and if the socket is in blocking mode, a thread of its own makes the call.
///
/// # Errors
/// Those of connect(2), and `InvalidInput` for an address that is longer than any family's; see the
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
    let limit = limit.map(deadline_in);
    if in_tasklet() && !port_does(&op) && !descriptor::nonblocking(fd)? {
        let socket = descriptor::duplicate(fd)?;
        let call = move |interruptible: &_| raw::connect(&socket, &to, interruptible);
        return on_own_thread("a connection", limit, call);
    }
    // SAFETY: the address lies in this frame; the borrow keeps the descriptor open.
    let connected = unsafe { perform(&op, limit) }.map(drop);
    match connected.as_ref().map_err(io::Error::raw_os_error) {
        // An earlier call has begun the connection: this call waits for its end.
        Err(Some(raw::UNDER_WAY)) if in_tasklet() && !descriptor::nonblocking(fd)? => {
            match wait_ready(fd, Interest::Writable, limit) {
                Err(error) if errno::says_would_block(&error) => connected,
                Err(error) => Err(error),
                Ok(()) => raw::connect_now(fd, &to),
            }
        }
        Err(Some(number)) if number != WOULD_BLOCK => {
            raw::forget_failed_connect(fd, number);
            connected
        }
        _ => connected,
    }
}

/// Makes a system call that may wait for ever and has neither a non-blocking form nor readiness. It
/// is made on a thread of its own, of which there are at most 4096; further calls queue. Outside a
/// scheduler it is made in place.
///
/// `call` makes the system call as C does: it returns −1, with the error's number in errno. It owns
/// the memory that it works on, and is called again if a foreign signal interrupts it. A kill, a
/// deadline or a signal handler ([`interruptible`](crate::signal::interruptible)) interrupts it,
/// too, and its result decides. `done` converts the result.
///
/// # Errors
/// The call's own, `EINTR` after a signal handler, [`Cancelled`]; an error if no thread can be
/// started.
///
/// ```
/// use std::os::fd::AsRawFd;
/// overlapped::run(|| {
///     let (rx, tx) = std::io::pipe().unwrap();
///     let reader = overlapped::spawn(move || {
///         let mut room = [0u8; 8];
///         // SAFETY: the closure owns the descriptor and the memory.
///         let call = move || unsafe { libc::read(rx.as_raw_fd(), room.as_mut_ptr().cast(), 8) };
///         overlapped::os::fd::raw::waiting_call(call, |count| count)
///     });
///     overlapped::yield_now();
///     drop(tx);
///     assert_eq!(reader.join().unwrap().unwrap(), 0);
/// }).unwrap();
/// ```
pub fn waiting_call<T: Send + 'static>(
    call: impl FnMut() -> isize + Send + 'static,
    done: impl FnOnce(i32) -> T + Send + 'static,
) -> io::Result<T> {
    on_own_thread("a system call", None, move |interruptible| {
        errno::to_result(interruptible.call(call)).map(done)
    })
}

/// Makes a call that may wait for ever, on a thread of its own. A kill, a deadline, or the limit
/// interrupts it.
fn on_own_thread<T: Send + 'static>(
    what: &'static str,
    limit: Option<u64>,
    call: impl FnOnce(&Interruptible) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let is_own = limit.is_some_and(|own| own < deadline());
    let left = limit.map_or(Duration::MAX, clock::until);
    let may_not = || Err(io::ErrorKind::WouldBlock.into());
    match timeout(left, || on_interruptible_thread(what, call).unwrap_or_else(may_not)) {
        Err(error) if is_own && Cancelled::of(&error) == Some(Cancelled::Deadline) => {
            Err(errno::error(WOULD_BLOCK))
        }
        ended => ended,
    }
}
