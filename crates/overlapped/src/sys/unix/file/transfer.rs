//! Single tries of transfers on a file, a pipe or a terminal, with memory that the caller has lent.
//! Results are in the kernel's form: a failure is the negated error number.
//!
//! None waits for another process, even if the descriptor is in blocking mode. Linux has
//! `RWF_NOWAIT` for this. Elsewhere, and for a file that does not support it (a terminal), poll(2)
//! is asked first. Regular files, directories and block devices may wait for the disk.

use std::os::fd::RawFd;

use crate::sys::descriptor::{Kind, kind};
use crate::sys::errno::retried;
use crate::sys::message::Message;
use crate::sys::native::abi::{self, read_nowait, write_nowait};
use crate::sys::readiness::{Interest, poll_now};

/// POLLOUT on a pipe promises that this much can be written without waiting (pipe(7)).
const PIPE_BUF: usize = libc::PIPE_BUF;

const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;

/// Reads what is in the page cache, at `offset` or at the cursor. Returns `-EAGAIN` or
/// `-EOPNOTSUPP` if the disk would have to be asked, and fewer bytes if it would have to be asked
/// for the rest.
///
/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn read_cached(fd: RawFd, buf: *mut u8, len: u32, offset: Option<u64>) -> i32 {
    let slice = libc::iovec { iov_base: buf.cast(), iov_len: len as usize };
    // SAFETY: one slice, valid by the caller's promise.
    unsafe { read_nowait(fd, &slice, 1, offset) }
}

/// Calls pread(2) at `offset`, or makes one read at the cursor that does not wait for another
/// process.
///
/// # Safety
/// `buf` is valid for writes of `len` bytes.
pub(crate) unsafe fn read(fd: RawFd, buf: *mut u8, len: usize, offset: Option<u64>) -> i32 {
    let buf = buf.cast();
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { abi::pread(fd, buf, len, offset as i64) });
    }
    let plain = || {
        // SAFETY: the caller's promise.
        retried(|| unsafe { libc::read(fd, buf, len) })
    };
    match kind(fd) {
        Err(errno) => -errno,
        Ok(Kind::File | Kind::Directory) => plain(),
        Ok(_) => {
            let slice = libc::iovec { iov_base: buf, iov_len: len };
            // SAFETY: one slice, valid by the caller's promise.
            let done = unsafe { read_nowait(fd, &slice, 1, None) };
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            match poll_now(fd, Interest::Readable) {
                0 => plain(),
                errno => errno,
            }
        }
    }
}

/// Calls pwrite(2) at `offset`, or makes one write at the cursor that does not wait for another
/// process.
///
/// # Safety
/// `buf` is valid for reads of `len` bytes.
pub(crate) unsafe fn write(fd: RawFd, buf: *const u8, len: usize, offset: Option<u64>) -> i32 {
    let buf = buf.cast();
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { abi::pwrite(fd, buf, len, offset as i64) });
    }
    let plain = |len: usize| {
        // SAFETY: the caller's promise; `len` is not more than was promised.
        retried(|| unsafe { libc::write(fd, buf, len) })
    };
    match kind(fd) {
        Err(errno) => -errno,
        Ok(Kind::File | Kind::Directory) => plain(len),
        // SAFETY: the caller's promise. write(2) would raise SIGPIPE.
        Ok(Kind::Socket) => retried(|| unsafe { libc::send(fd, buf, len, SEND_FLAGS) }),
        Ok(_) => {
            let slice = libc::iovec { iov_base: buf.cast_mut(), iov_len: len };
            // SAFETY: one slice, valid by the caller's promise; pwritev2 only reads from it.
            let done = unsafe { write_nowait(fd, &slice, 1) };
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            // A longer write in blocking mode would wait for the rest.
            match poll_now(fd, Interest::Writable) {
                0 => plain(len.min(PIPE_BUF)),
                errno => errno,
            }
        }
    }
}

/// Calls preadv(2) at `offset`, or makes one vectored read at the cursor that does not wait.
///
/// # Safety
/// `slices` points to `count` slices that are valid for writes.
pub(crate) unsafe fn read_vectored(
    fd: RawFd,
    slices: *const libc::iovec,
    count: i32,
    offset: Option<u64>,
) -> i32 {
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { abi::preadv(fd, slices, count, offset as i64) });
    }
    match kind(fd) {
        Err(errno) => -errno,
        // SAFETY: the caller's promise.
        Ok(Kind::File | Kind::Directory) => retried(|| unsafe { libc::readv(fd, slices, count) }),
        Ok(_) => {
            // SAFETY: the caller's promise.
            let done = unsafe { read_nowait(fd, slices, count, None) };
            if done != -libc::EOPNOTSUPP {
                return done;
            }
            match poll_now(fd, Interest::Readable) {
                // SAFETY: the caller's promise.
                0 => retried(|| unsafe { libc::readv(fd, slices, count) }),
                errno => errno,
            }
        }
    }
}

/// Writes to a descriptor in blocking mode without waiting: in one piece, as much as poll(2)
/// promises room for.
///
/// # Safety
/// The slices are valid for reads.
unsafe fn write_gathered(fd: RawFd, slices: &[libc::iovec]) -> i32 {
    let mut piece = [0; PIPE_BUF];
    let mut len = 0;
    for slice in slices {
        let more = slice.iov_len.min(PIPE_BUF - len);
        // SAFETY: the slice has `more` bytes, by the caller's promise, and the piece has room for
        // them. An empty slice may have no address, but nothing is read from it.
        unsafe {
            std::ptr::copy_nonoverlapping(slice.iov_base.cast(), piece.as_mut_ptr().add(len), more);
        }
        len += more;
    }
    // SAFETY: that many bytes of the piece have been filled.
    unsafe { write(fd, piece.as_ptr(), len, None) }
}

/// Calls pwritev(2) at `offset`, or makes one vectored write at the cursor that does not wait.
///
/// # Safety
/// `slices` points to `count` slices that are valid for reads.
pub(crate) unsafe fn write_vectored(
    fd: RawFd,
    slices: *const libc::iovec,
    count: i32,
    offset: Option<u64>,
) -> i32 {
    if let Some(offset) = offset {
        // SAFETY: the caller's promise.
        return retried(|| unsafe { abi::pwritev(fd, slices, count, offset as i64) });
    }
    match kind(fd) {
        Err(errno) => -errno,
        // SAFETY: the caller's promise.
        Ok(Kind::File | Kind::Directory) => retried(|| unsafe { libc::writev(fd, slices, count) }),
        Ok(Kind::Socket) => {
            let message = Message::over(slices.cast_mut(), count as usize);
            // SAFETY: the caller's promise. writev(2) would raise SIGPIPE.
            retried(|| unsafe { libc::sendmsg(fd, Message::as_ptr(&message), SEND_FLAGS) })
        }
        Ok(_) => {
            // SAFETY: the caller's promise.
            let done = unsafe { write_nowait(fd, slices, count) };
            if done != -libc::EOPNOTSUPP || count == 0 {
                return done;
            }
            // SAFETY: the caller's promise.
            unsafe { write_gathered(fd, std::slice::from_raw_parts(slices, count as usize)) }
        }
    }
}
