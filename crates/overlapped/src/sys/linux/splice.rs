//! Bytes moved inside the kernel: splice(2) between a pipe and anything, copy_file_range(2) between
//! files.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Result, retry_on_intr};
use rustix::pipe::SpliceFlags;

/// Moves at most `len` bytes at the cursors. `EAGAIN` if a pipe or a non-blocking socket would
/// have to be waited for.
pub(crate) fn splice(from: impl AsFd, to: impl AsFd, len: usize) -> Result<usize> {
    let flags = SpliceFlags::NONBLOCK | SpliceFlags::MOVE;
    retry_on_intr(|| rustix::pipe::splice(&from, None, &to, None, len, flags))
}

/// Copies at most `len` bytes between files, at their cursors. 0 at the end.
pub(crate) fn copy_range(from: impl AsFd, to: impl AsFd, len: usize) -> Result<usize> {
    retry_on_intr(|| rustix::fs::copy_file_range(&from, None, &to, None, len))
}

/// Lets a pipe hold `bytes`, and returns its new size. `None`: it stays as it is, since not every
/// user may have large ones (pipe(7)).
pub(crate) fn enlarge(pipe: BorrowedFd<'_>, bytes: usize) -> Option<usize> {
    rustix::pipe::fcntl_setpipe_size(pipe, bytes).ok()
}
