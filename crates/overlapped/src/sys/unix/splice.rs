//! Calls that move bytes inside the kernel, and the kind of a descriptor as far as they need it.
//!
//! splice(2) moves between a pipe and anything, copy_file_range(2) between files. Neither blocks on
//! a pipe or on a non-blocking socket here; both wait for disks.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::buffer::spare_capacity;
use rustix::fs::SeekFrom;
use rustix::io::retry_on_intr;

use crate::sys::descriptor;
use crate::sys::errno::to_result;
use crate::sys::native;
pub(crate) use crate::sys::native::splice::enlarge;

/// The kind of a descriptor, as far as moving goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A regular file or a block device: has a cursor, never waits but for the disk.
    File,
    Pipe,
    /// A stream socket in non-blocking mode.
    Socket,
    /// A stream socket in blocking mode: splice(2) on it would block the thread.
    BlockingSocket,
    /// A socket whose messages have bounds.
    Datagrams,
    /// Terminals, devices, directories.
    Other,
}

/// Returns the kind of `fd`, as far as moving goes.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    Ok(match descriptor::kind(fd.as_raw_fd()).map_err(io::Error::from_raw_os_error)? {
        descriptor::Kind::File => Kind::File,
        descriptor::Kind::Pipe => Kind::Pipe,
        descriptor::Kind::Socket => {
            if rustix::net::sockopt::socket_type(fd)? != rustix::net::SocketType::STREAM {
                return Ok(Kind::Datagrams);
            }
            let is_nonblocking = descriptor::nonblocking(fd)?;
            if is_nonblocking { Kind::Socket } else { Kind::BlockingSocket }
        }
        descriptor::Kind::Directory | descriptor::Kind::CharDevice | descriptor::Kind::Other => {
            Kind::Other
        }
    })
}

/// Makes one splice(2) at the cursors. The result is in the kernel's form. `EAGAIN` if a pipe or
/// a non-blocking socket would have to be waited for.
///
/// # Safety
/// Both descriptors are open.
pub(crate) unsafe fn splice(from: RawFd, to: RawFd, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    let (from, to) = unsafe { (BorrowedFd::borrow_raw(from), BorrowedFd::borrow_raw(to)) };
    match native::splice::splice(from, to, len) {
        Ok(moved) => i32::try_from(moved).expect("lengths were clamped"),
        Err(errno) => -errno.raw_os_error(),
    }
}

/// Moves at most `len` bytes by splice(2); for pool threads.
pub(crate) fn splice_now(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    Ok(native::splice::splice(from, to, len)?)
}

/// Copies at most `len` bytes between files, at their cursors. 0 at the end.
pub(crate) fn copy_range(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    Ok(native::splice::copy_range(from, to, len)?)
}

/// Moves a file's cursor back by `bytes`.
pub(crate) fn seek_back(file: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    rustix::fs::seek(file, SeekFrom::Current(-(bytes as i64)))?;
    Ok(())
}

/// Returns the number of bytes between a file's cursor and its end.
pub(crate) fn left(file: BorrowedFd<'_>) -> io::Result<u64> {
    let at = rustix::fs::tell(file)?;
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0).saturating_sub(at))
}

/// Makes a pipe for bytes on their way: reading end, writing end.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    native::abi::pipe(true)
}

/// Takes the `bytes` that such a pipe holds.
pub(crate) fn take(pipe: BorrowedFd<'_>, bytes: usize) -> Vec<u8> {
    let mut taken = Vec::with_capacity(bytes);
    while taken.len() < bytes {
        match retry_on_intr(|| rustix::io::read(pipe, spare_capacity(&mut taken))) {
            Ok(1..) => {}
            Ok(0) | Err(_) => break,
        }
    }
    taken
}

/// Reads at a file's cursor what is in memory; `WouldBlock` if that is nothing.
pub(crate) fn read_cached(file: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let len = buf.len().try_into().unwrap_or(u32::MAX);
    // SAFETY: the buffer is borrowed, and has at least `len` bytes.
    let read = unsafe {
        super::file::transfer::read_cached(file.as_raw_fd(), buf.as_mut_ptr(), len, None)
    };
    to_result(read).map(|read| read as usize)
}

/// Reads at the cursor, blocking the thread: for pool threads, and for regular files.
pub(crate) fn read(fd: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(retry_on_intr(|| rustix::io::read(&fd, &mut *buf))?)
}

/// Writes all of `bytes` at the cursor, blocking the thread. Returns the number of bytes written,
/// also after an error.
pub(crate) fn write_all(fd: impl AsFd, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match retry_on_intr(|| rustix::io::write(&fd, &bytes[done..])) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => done += n,
            Err(errno) => return (done, Err(errno.into())),
        }
    }
    (done, Ok(()))
}
