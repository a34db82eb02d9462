//! Bytes moved inside the kernel: not here. `ENOSYS` has the callers read and write instead.

use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, Result};

/// Moves bytes between a pipe and anything: `ENOSYS`.
pub(crate) fn splice(_: impl AsFd, _: impl AsFd, _: usize) -> Result<usize> {
    Err(Errno::NOSYS)
}

/// Copies bytes between files: `ENOSYS`.
pub(crate) fn copy_range(_: impl AsFd, _: impl AsFd, _: usize) -> Result<usize> {
    Err(Errno::NOSYS)
}

/// Lets a pipe hold `bytes`: it grows by itself here.
pub(crate) fn enlarge(_: BorrowedFd<'_>, _: usize) -> Option<usize> {
    None
}
