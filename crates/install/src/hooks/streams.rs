//! Descriptors of any kind, at their own position.
//!
//! `RWF_NOWAIT` makes an attempt that cannot block, whatever the descriptor's flags are, for
//! sockets, pipes and what is in the page cache. What has no such attempt (terminals, procfs) is
//! asked for its readiness first.

use std::ffi::{c_int, c_void};
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

use libc::iovec;
use overlapped::io::{PipeReader, PipeWriter};

use crate::raw::{AGAIN, INVALID, NOT_SUPPORTED, Outcome, call, give};
use crate::scope::here;
use crate::wait::{Way, count_of, is_nonblocking, limit_of, ready, slice_mut};

/// The offset that means the descriptor's own position.
const HERE: i64 = -1;

/// What a descriptor is.
pub(super) fn kind(fd: c_int) -> u32 {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel fills it, or leaves zeros.
    let stat = unsafe {
        call!(fstat, fd, stat.as_mut_ptr());
        stat.assume_init()
    };
    stat.st_mode & libc::S_IFMT
}

/// Tells whether one attempt has ended the call: also where the program wants EAGAIN.
fn is_end(fd: c_int, outcome: Outcome) -> bool {
    outcome != AGAIN || is_nonblocking(fd)
}

/// read(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn read(fd: c_int, buf: *mut c_void, len: usize) -> isize {
    if !here() {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(read, fd, buf, len) });
    }
    let slice = iovec { iov_base: buf, iov_len: len };
    // SAFETY: the caller's promise, handed on.
    give(unsafe { read_slices(fd, &slice, 1) })
}

/// readv(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn readv(fd: c_int, slices: *const iovec, count: c_int) -> isize {
    if !here() {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(readv, fd, slices, count) });
    }
    // SAFETY: the caller's promise, handed on.
    give(unsafe { read_slices(fd, slices, count) })
}

unsafe fn read_slices(fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let attempt = || unsafe { call!(preadv2, fd, slices, count, HERE, 0, libc::RWF_NOWAIT) };
    let first = attempt();
    if first == NOT_SUPPORTED || first == INVALID {
        // SAFETY: the caller's promise, handed on.
        return unsafe { read_when_ready(fd, slices, count) };
    }
    if is_end(fd, first) {
        return first;
    }
    if kind(fd) == libc::S_IFREG {
        // SAFETY: the caller's promise: the slices are theirs.
        return unsafe { read_from_disk(fd, slices, count) };
    }
    let limit = limit_of(fd, Way::In);
    loop {
        match ready(fd, Way::In, limit) {
            0 => {}
            other => return other,
        }
        match attempt() {
            AGAIN => {}
            other => return other,
        }
    }
}

/// What has no attempt that cannot block: terminals and other devices, procfs.
unsafe fn read_when_ready(fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    if matches!(kind(fd), libc::S_IFCHR | libc::S_IFIFO) && !is_nonblocking(fd) {
        // EPERM: it cannot be watched, and so does not block for long.
        let outcome = ready(fd, Way::In, None);
        if outcome != 0 && outcome != -(libc::EPERM as isize) {
            return outcome;
        }
    }
    // SAFETY: the caller's promise, handed on.
    unsafe { call!(readv, fd, slices, count) }
}

/// Not in the page cache: by the port, into the first slice that has room. A short read is one that
/// callers of readv know.
unsafe fn read_from_disk(fd: c_int, slices: *const iovec, count: c_int) -> Outcome {
    for place in 0..usize::try_from(count).unwrap_or(0) {
        // SAFETY: the caller's promise: so many slices, each theirs.
        let slice = unsafe { &*slices.add(place) };
        if slice.iov_len > 0 {
            // SAFETY: as above.
            let buf = unsafe { slice_mut(slice.iov_base, slice.iov_len) };
            // SAFETY: lent for the call, and not closed at its end.
            let mut end = ManuallyDrop::new(unsafe { PipeReader::from_raw_fd(fd) });
            return count_of(end.read(buf));
        }
    }
    0
}

/// write(2).
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn write(fd: c_int, buf: *const c_void, len: usize) -> isize {
    if !here() {
        // SAFETY: the caller's promise, handed on.
        return give(unsafe { call!(write, fd, buf, len) });
    }
    match kind(fd) {
        libc::S_IFREG | libc::S_IFBLK => {
            // SAFETY: lent for the call, and not closed at its end.
            let mut end = ManuallyDrop::new(unsafe { PipeWriter::from_raw_fd(fd) });
            // SAFETY: the caller's buffer; it is only read from.
            give(count_of(end.write(unsafe { slice_mut(buf.cast_mut(), len) })))
        }
        // SAFETY: the caller's promise, handed on.
        _ => give(unsafe { write_all(fd, buf, len) }),
    }
}

/// A blocking pipe or stream takes all of it, one wait after another.
unsafe fn write_all(fd: c_int, buf: *const c_void, len: usize) -> Outcome {
    let (mut done, mut limit) = (0, None);
    loop {
        let slice =
            iovec { iov_base: buf.cast_mut().wrapping_byte_add(done), iov_len: len - done };
        // SAFETY: within the caller's buffer.
        let outcome =
            unsafe { call!(pwritev2, fd, &raw const slice, 1, HERE, 0, libc::RWF_NOWAIT) };
        match outcome {
            NOT_SUPPORTED | INVALID if done == 0 => {
                // SAFETY: the caller's promise, handed on.
                return unsafe { call!(write, fd, buf, len) };
            }
            AGAIN if !is_nonblocking(fd) => {
                limit = limit.or_else(|| Some(limit_of(fd, Way::Out)));
                match ready(fd, Way::Out, limit.flatten()) {
                    0 => continue,
                    end if done == 0 => return end,
                    _ => return done as Outcome,
                }
            }
            count if count >= 0 => done += count as usize,
            end if done == 0 => return end,
            _ => return done as Outcome,
        }
        if done >= len {
            return done as Outcome;
        }
    }
}

/// writev(2). May write a part, as writev does to what is full.
///
/// # Safety
/// As libc's.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn writev(fd: c_int, slices: *const iovec, count: c_int) -> isize {
    let is_ours = here() && count > 0;
    if is_ours && matches!(kind(fd), libc::S_IFSOCK | libc::S_IFIFO | libc::S_IFCHR) {
        // SAFETY: the caller's promise, handed on.
        let attempt = || unsafe { call!(pwritev2, fd, slices, count, HERE, 0, libc::RWF_NOWAIT) };
        let outcome = crate::wait::patiently(fd, Way::Out, attempt);
        if outcome != NOT_SUPPORTED && outcome != INVALID {
            return give(outcome);
        }
    }
    // SAFETY: the caller's promise, handed on.
    give(unsafe { call!(writev, fd, slices, count) })
}
