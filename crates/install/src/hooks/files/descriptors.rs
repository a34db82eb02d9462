//! Descriptors of any kind, at their own position.
//!
//! `RWF_NOWAIT` makes an attempt that cannot block, whatever the descriptor's flags are, for
//! sockets, pipes and bytes in the page cache. Files without such an attempt (terminals, procfs,
//! named pipes) are first asked for their readiness.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use libc::iovec;
use overlapped::io::{PipeReader, PipeWriter};

use crate::caller::Call;
use crate::duplicates::CallFile;
use crate::errors::file_count_or_error;
use crate::query::{Direction, file_type, is_nonblocking, is_on_disk, socket_limit};
use crate::raw::{AGAIN, FAULT, INVALID, NOT_PERMITTED, NOT_SUPPORTED, Outcome, call, give};
use crate::remainder::transfer_more;
use crate::slices::{slice_mut, slices_of, transfer_slices};
use crate::symbols::Symbol;
use crate::wait::{Limit, ready, wait_then_try};

/// The offset that means the descriptor's own position.
const HERE: i64 = -1;

/// The maximum number of slices in one call (`IOV_MAX`).
const SLICES_MAX: c_int = 1024;

/// read(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    let Some(call) = Call::begin(Symbol::read) else {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(read, fd, buf, len) });
    };
    let slice = iovec { iov_base: buf, iov_len: len };
    // SAFETY: the caller's promise, handed on.
    give(unsafe { read_slices(&call, fd, &slice, 1) })
}

/// read(2) as fortified C calls it: `room` is the size of the buffer.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __read_chk(
    fd: c_int,
    buf: *mut c_void,
    len: usize,
    room: usize,
) -> isize {
    crate::hooks::must_fit(len, room);
    // SAFETY: the caller's promise, handed on.
    unsafe { read(fd, buf, len) }
}

/// readv(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn readv(fd: c_int, slices: *const iovec, count: c_int) -> isize {
    let Some(call) = Call::begin(Symbol::readv) else {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(readv, fd, slices, count) });
    };
    // SAFETY: the caller's promise, handed on.
    give(unsafe { read_slices(&call, fd, slices, count) })
}

unsafe fn read_slices(call: &Call, fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let attempt =
        |fd: c_int| unsafe { call!(preadv2, fd, slices, count, HERE, 0, libc::RWF_NOWAIT) };
    let first = attempt(fd);
    if is_unsupported(first, fd, count) {
        // SAFETY: the caller's promise, handed on.
        return unsafe { read_when_ready(call, fd, slices, count) };
    }
    if first != AGAIN || is_nonblocking(fd) {
        return first;
    }
    if is_on_disk(file_type(fd)) {
        // SAFETY: the caller's promise: the slices are writable.
        return unsafe { read_from_disk(call, fd, slices, count) };
    }
    wait_then_try(call, (fd, Direction::In), &Limit::new(socket_limit(fd, Direction::In)), attempt)
}

/// Tells whether the kernel has no attempt that cannot block, for `count` slices on this file.
///
/// Some files report that by EINVAL. Others refuse the caller's arguments by it, and then a wait
/// for readiness might not end. So the number of slices is checked, and EINVAL from a file without
/// a type (an eventfd), which has such attempts, counts as a refusal.
fn is_unsupported(outcome: Outcome, fd: c_int, count: c_int) -> bool {
    const NO_SUCH_CALL: Outcome = -(libc::ENOSYS as isize);
    const NO_TYPE: u32 = 0;
    match outcome {
        NOT_SUPPORTED | NO_SUCH_CALL => true,
        INVALID => (0..=SLICES_MAX).contains(&count) && file_type(fd) != NO_TYPE,
        _ => false,
    }
}

/// Reads from a file without an attempt that cannot block: terminals and other devices, inotify,
/// procfs; and from any file if the kernel has no preadv2(2), as some emulators.
unsafe fn read_when_ready(call: &Call, fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let read = |fd: c_int| unsafe { call!(readv, fd, slices, count) };
    if is_on_disk(file_type(fd)) || is_nonblocking(fd) {
        return read(fd);
    }
    when_ready(call, (fd, Direction::In), read)
}

/// Waits until the descriptor is ready and makes the plain call, which gets the descriptor to use.
fn when_ready(
    call: &Call,
    (fd, direction): (c_int, Direction),
    plain: impl Fn(c_int) -> Outcome,
) -> Outcome {
    let file = CallFile::new(fd);
    // EPERM: the file cannot be polled, and so does not block for long.
    match ready(call, file.number(), direction, socket_limit(file.number(), direction)) {
        0 | NOT_PERMITTED => plain(file.number()),
        other => other,
    }
}

/// Has the port read bytes that are not in the page cache, into the first slice that has room.
/// Callers of readv expect short reads.
unsafe fn read_from_disk(call: &Call, fd: c_int, first: *const iovec, count: c_int) -> Outcome {
    // SAFETY: the caller's promise: `count` writable slices.
    let slices = unsafe { slices_of(first, count) };
    let Some(slice) = slices.iter().find(|slice| slice.iov_len > 0) else { return 0 };
    // SAFETY: as above.
    let buf = unsafe { slice_mut(slice.iov_base, slice.iov_len) };
    call.count();
    // SAFETY: borrowed for the call, and not closed at its end.
    let mut end = ManuallyDrop::new(unsafe { PipeReader::from_raw_fd(fd) });
    // SAFETY: the caller's promise, handed on.
    file_count_or_error(end.read(buf), || unsafe { call!(readv, fd, first, count) })
}

/// write(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    let Some(call) = Call::begin(Symbol::write) else {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(write, fd, buf, len) });
    };
    if is_on_disk(file_type(fd)) {
        if buf.is_null() && len > 0 {
            return give(FAULT);
        }
        call.count();
        // SAFETY: borrowed for the call, and not closed at its end.
        let mut end = ManuallyDrop::new(unsafe { PipeWriter::from_raw_fd(fd) });
        // SAFETY: the buffer is the caller's, and is only read from.
        let written = end.write(unsafe { slice_mut(buf.cast_mut(), len) });
        // SAFETY: the caller's promise, handed on.
        return give(file_count_or_error(written, || unsafe { call!(write, fd, buf, len) }));
    }
    let slice = iovec { iov_base: buf.cast_mut(), iov_len: len };
    // SAFETY: the caller's promise, handed on.
    give(unsafe { write_slices(&call, fd, &slice, 1) })
}

/// writev(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn writev(fd: c_int, slices: *const iovec, count: c_int) -> isize {
    match Call::begin(Symbol::writev) {
        Some(call) if count > 0 && !is_on_disk(file_type(fd)) => {
            // SAFETY: the caller's promise, handed on.
            give(unsafe { write_slices(&call, fd, slices, count) })
        }
        // SAFETY: as above.
        _ => give(unsafe { call!(writev, fd, slices, count) }),
    }
}

/// Writes all bytes to a blocking pipe or stream, with a wait after each step.
unsafe fn write_slices(call: &Call, fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    let (by_parts, flags) = (Cell::new(None), Cell::new(libc::MSG_DONTWAIT));
    // SAFETY: the caller's promise, handed on.
    let attempt = |fd: c_int, slices: *const iovec, count: c_int| unsafe {
        match by_parts.get() {
            None => call!(pwritev2, fd, slices, count, HERE, 0, libc::RWF_NOWAIT),
            Some(libc::S_IFSOCK) => send_part(fd, slices, count, flags.get()),
            Some(_) => write_part(fd, slices, count),
        }
    };
    let mut first = attempt(fd, slices, count);
    if is_unsupported(first, fd, count) {
        match file_type(fd) {
            file_type @ (libc::S_IFIFO | libc::S_IFSOCK) if !is_nonblocking(fd) => {
                by_parts.set(Some(file_type));
            }
            // SAFETY: the caller's promise, handed on.
            _ => return unsafe { write_when_ready(call, fd, slices, count) },
        }
        first = attempt(fd, slices, count);
    }
    if (first < 0 && first != AGAIN) || is_nonblocking(fd) {
        return first;
    }
    let end = Limit::new(socket_limit(fd, Direction::Out));
    if first == AGAIN {
        first = wait_then_try(call, (fd, Direction::Out), &end, |fd| attempt(fd, slices, count));
    }
    if first <= 0 {
        return first;
    }
    if file_type(fd) == libc::S_IFSOCK {
        by_parts.set(Some(libc::S_IFSOCK));
        flags.set(libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
    }
    // SAFETY: the caller's promise: `count` slices.
    let (file, slices) = (CallFile::new(fd), unsafe { slices_of(slices, count) });
    transfer_slices(slices, first, |rest| {
        let (rest, count) = (rest.as_ptr(), rest.len() as c_int);
        transfer_more(call, (&file, Direction::Out), &end, |fd| attempt(fd, rest, count))
    })
}

/// Sends what a socket has room for: the steps after the first, and all steps if the kernel has no
/// pwritev2(2), as some emulators.
unsafe fn send_part(fd: c_int, slices: *const iovec, count: c_int, flags: c_int) -> Outcome {
    // SAFETY: a header without a name and without control data.
    let mut header = unsafe { std::mem::zeroed::<libc::msghdr>() };
    header.msg_iov = slices.cast_mut();
    header.msg_iovlen = count as _;
    // SAFETY: the caller's promise, handed on; the kernel only reads.
    unsafe { call!(sendmsg, fd, &raw const header, flags) }
}

/// Writes what a pipe has room for, if it refuses `RWF_NOWAIT`, as a named pipe does. If another
/// writer fills the pipe meanwhile, this blocks after all.
unsafe fn write_part(fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    /// `PIPE_BUF`: if there is room at all, that many bytes fit.
    const PART: usize = 4096;
    let mut asked = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    let none = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the entry and the time are borrowed for the call.
    match unsafe { call!(ppoll, &raw mut asked, 1, &raw const none, 0, 8) } {
        0 => return AGAIN,
        error if error < 0 => return error,
        _ => {}
    }
    // SAFETY: the caller's promise: `count` slices.
    let all = unsafe { slices_of(slices, count) };
    if all.iter().fold(0_usize, |sum, slice| sum.saturating_add(slice.iov_len)) <= PART {
        // SAFETY: as above. The write is atomic, for other writers of the pipe.
        return unsafe { call!(writev, fd, slices, count) };
    }
    let Some(slice) = all.iter().find(|slice| slice.iov_len > 0) else { return 0 };
    // SAFETY: as above: the slice is the caller's.
    unsafe { call!(write, fd, slice.iov_base, slice.iov_len.min(PART)) }
}

/// Writes to a terminal or another device.
unsafe fn write_when_ready(call: &Call, fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let write = |fd: c_int| unsafe { call!(writev, fd, slices, count) };
    if file_type(fd) != libc::S_IFCHR || is_nonblocking(fd) {
        return write(fd);
    }
    when_ready(call, (fd, Direction::Out), write)
}
