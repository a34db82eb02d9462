//! The calls that move bytes inside the kernel, and what must be known of a descriptor for them.
//!
//! splice(2) moves between a pipe and anything, copy_file_range(2) between files. Neither blocks on
//! a pipe or on a non-blocking socket here; both wait for disks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{FileType, OFlags, SeekFrom};
use rustix::io::{Errno, ReadWriteFlags};
use rustix::pipe::{PipeFlags, SpliceFlags};

/// What a descriptor stands for, as far as moving goes.
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

/// What `fd` stands for.
pub(crate) fn kind(fd: BorrowedFd<'_>) -> io::Result<Kind> {
    Ok(match FileType::from_raw_mode(rustix::fs::fstat(fd)?.st_mode) {
        FileType::RegularFile | FileType::BlockDevice => Kind::File,
        FileType::Fifo => Kind::Pipe,
        FileType::Socket => {
            if rustix::net::sockopt::socket_type(fd)? != rustix::net::SocketType::STREAM {
                return Ok(Kind::Datagrams);
            }
            let nonblocking = rustix::fs::fcntl_getfl(fd)?.contains(OFlags::NONBLOCK);
            if nonblocking { Kind::Socket } else { Kind::BlockingSocket }
        }
        _ => Kind::Other,
    })
}

/// One splice(2) at the cursors, in the kernel's form. `EAGAIN` where a pipe or a non-blocking
/// socket would have to be waited for.
///
/// # Safety
/// Both descriptors are open.
pub(crate) unsafe fn splice(from: RawFd, to: RawFd, len: usize) -> i32 {
    // SAFETY: the caller's promise.
    let (from, to) = unsafe { (BorrowedFd::borrow_raw(from), BorrowedFd::borrow_raw(to)) };
    let moved = rustix::io::retry_on_intr(|| {
        rustix::pipe::splice(from, None, to, None, len, SpliceFlags::NONBLOCK | SpliceFlags::MOVE)
    });
    match moved {
        Ok(moved) => i32::try_from(moved).expect("lengths were clamped"),
        Err(errno) => -errno.raw_os_error(),
    }
}

/// Moves at most `len` bytes by splice(2); for pool threads.
pub(crate) fn splice_now(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    let splice = || rustix::pipe::splice(&from, None, &to, None, len, flags);
    Ok(rustix::io::retry_on_intr(splice)?)
}

/// Copies at most `len` bytes between files, at their cursors. 0 at the end.
pub(crate) fn copy_range(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    let copy = || rustix::fs::copy_file_range(&from, None, &to, None, len);
    Ok(rustix::io::retry_on_intr(copy)?)
}

/// Moves a file's cursor back by `bytes`.
pub(crate) fn seek_back(file: BorrowedFd<'_>, bytes: usize) -> io::Result<()> {
    rustix::fs::seek(file, SeekFrom::Current(-(bytes as i64)))?;
    Ok(())
}

/// How many bytes a file has behind its cursor.
pub(crate) fn left(file: BorrowedFd<'_>) -> io::Result<u64> {
    let at = rustix::fs::tell(file)?;
    Ok(u64::try_from(rustix::fs::fstat(file)?.st_size).unwrap_or(0).saturating_sub(at))
}

/// Lets a pipe hold `bytes`. Not everybody may have large ones (pipe(7)): then it stays as it is.
pub(crate) fn enlarge(pipe: BorrowedFd<'_>, bytes: usize) -> Option<usize> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).ok()
}

/// A pipe for bytes on their way: reading end, writing end.
pub(crate) fn channel() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// Takes the `bytes` that such a pipe holds.
pub(crate) fn take(pipe: BorrowedFd<'_>, bytes: usize) -> Vec<u8> {
    let mut taken = Vec::with_capacity(bytes);
    while taken.len() < bytes {
        let room = rustix::buffer::spare_capacity(&mut taken);
        match rustix::io::read(pipe, room) {
            Ok(1..) | Err(Errno::INTR) => {}
            Ok(0) | Err(_) => break,
        }
    }
    taken
}

/// Reads at a file's cursor what is in memory; `WouldBlock` where that is nothing.
pub(crate) fn read_cached(file: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let mut slices = [io::IoSliceMut::new(buf)];
    let at_cursor = u64::MAX;
    let read = || rustix::io::preadv2(file, &mut slices, at_cursor, ReadWriteFlags::NOWAIT);
    Ok(rustix::io::retry_on_intr(read)?)
}

/// Reads at the cursor, blocking the thread: for pool threads, and for regular files.
pub(crate) fn read(fd: impl AsFd, buf: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::retry_on_intr(|| rustix::io::read(&fd, &mut *buf))?)
}

/// Writes all of `bytes` at the cursor, blocking the thread; how many were written in any case.
pub(crate) fn write_all(fd: impl AsFd, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::write(&fd, &bytes[done..]) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => done += n,
            Err(Errno::INTR) => {}
            Err(errno) => return (done, Err(errno.into())),
        }
    }
    (done, Ok(()))
}
