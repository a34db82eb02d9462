//! Files, pipes and terminals, by plain system calls.

use crate::op::{Fs, Outcome};
use crate::sys::file::calls;
use crate::sys::file::transfer::{read, read_vectored, write, write_vectored};
use crate::sys::readiness::Interest;
use crate::sys::splice::splice;

/// Makes the system call.
///
/// # Safety
/// The same as for [`try_now`](super::try_now).
pub(super) unsafe fn try_once(fs: &Fs) -> i32 {
    // SAFETY: every pointer is valid for what its call does, by the caller's promise.
    unsafe {
        match *fs {
            Fs::Read { fd, buf, len, offset } => read(fd, buf, len as usize, offset),
            Fs::Write { fd, buf, len, offset } => write(fd, buf, len as usize, offset),
            Fs::ReadVectored { fd, slices, count, offset } => {
                read_vectored(fd, slices, count as i32, offset)
            }
            Fs::WriteVectored { fd, slices, count, offset } => {
                write_vectored(fd, slices, count as i32, offset)
            }
            Fs::Splice { from, to, len, on_disk: _ } => splice(from, to, len as usize),
            Fs::Sync { fd, data_only } => calls::sync(fd, data_only),
            Fs::SetLen { fd, len } => calls::set_len(fd, len),
            Fs::Open { path, flags, mode } => calls::open(path, flags, mode),
            // A plain call would wait for the other side of a FIFO.
            Fs::OpenCached { .. } => Outcome::WOULD_BLOCK.raw(),
            Fs::Stat { at, path, flags, out } => calls::stat(at, path, flags, out),
            Fs::Rename { from, to } => calls::rename(from, to),
            Fs::Unlink { path, directory } => calls::unlink(path, directory),
            Fs::MakeDir { path, mode } => calls::make_dir(path, mode),
            Fs::Link { from, to } => calls::link(from, to),
            Fs::Symlink { target, link } => calls::symlink(target, link),
        }
    }
}

/// Returns the readiness for which the operation waits; `None` if it ends by itself, whatever its
/// errno is.
pub(super) fn interest(fs: &Fs) -> Option<Interest> {
    match fs {
        Fs::Read { .. } | Fs::ReadVectored { .. } => Some(Interest::Readable),
        Fs::Write { .. } | Fs::WriteVectored { .. } => Some(Interest::Writable),
        // A splice has two sides, and only the caller knows which one to wait for.
        Fs::Splice { .. }
        | Fs::Sync { .. }
        | Fs::SetLen { .. }
        | Fs::Open { .. }
        | Fs::OpenCached { .. }
        | Fs::Stat { .. }
        | Fs::Rename { .. }
        | Fs::Unlink { .. }
        | Fs::MakeDir { .. }
        | Fs::Link { .. }
        | Fs::Symlink { .. } => None,
    }
}

/// Tells whether the operation fails instead of waiting: a splice without a side on a disk.
pub(super) fn is_nonblocking(fs: &Fs) -> bool {
    match *fs {
        Fs::Splice { on_disk, .. } => !on_disk,
        Fs::Read { .. }
        | Fs::Write { .. }
        | Fs::ReadVectored { .. }
        | Fs::WriteVectored { .. }
        | Fs::Sync { .. }
        | Fs::SetLen { .. }
        | Fs::Open { .. }
        | Fs::OpenCached { .. }
        | Fs::Stat { .. }
        | Fs::Rename { .. }
        | Fs::Unlink { .. }
        | Fs::MakeDir { .. }
        | Fs::Link { .. }
        | Fs::Symlink { .. } => false,
    }
}
