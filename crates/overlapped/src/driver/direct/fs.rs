//! Files, pipes and terminals, by plain system calls.

use crate::op::{Fs, Outcome};
use crate::sys::errno::retried;
use crate::sys::file::status::STAT_MASK;
use crate::sys::file::transfer::{read, read_vectored, write, write_vectored};
use crate::sys::readiness::Interest;
use crate::sys::splice::splice;

/// Makes the system call.
///
/// # Safety
/// As for [`try_now`](super::try_now).
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
            Fs::Sync { fd, data_only: false } => retried(|| libc::fsync(fd) as isize),
            Fs::Sync { fd, data_only: true } => retried(|| libc::fdatasync(fd) as isize),
            Fs::SetLen { fd, len } => retried(|| libc::ftruncate64(fd, len as i64) as isize),
            Fs::Open { path, flags, mode } => retried(|| libc::open64(path, flags, mode) as isize),
            // A plain call would wait for the other side of a FIFO.
            Fs::OpenCached { .. } => Outcome::WOULD_BLOCK.raw(),
            Fs::Stat { at, path, flags, out } => {
                retried(|| libc::statx(at, path, flags, STAT_MASK, out.cast()) as isize)
            }
            Fs::Rename { from, to } => retried(|| libc::rename(from, to) as isize),
            Fs::Unlink { path, directory } => {
                let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
                retried(|| libc::unlinkat(libc::AT_FDCWD, path, flags) as isize)
            }
            Fs::MakeDir { path, mode } => retried(|| libc::mkdir(path, mode) as isize),
            Fs::Link { from, to } => {
                retried(|| libc::linkat(libc::AT_FDCWD, from, libc::AT_FDCWD, to, 0) as isize)
            }
            Fs::Symlink { target, link } => retried(|| libc::symlink(target, link) as isize),
        }
    }
}

/// The readiness for which it waits; `None` where it ends by itself, whatever errno it ends with.
pub(super) fn interest(fs: &Fs) -> Option<Interest> {
    match fs {
        Fs::Read { .. } | Fs::ReadVectored { .. } => Some(Interest::Readable),
        Fs::Write { .. } | Fs::WriteVectored { .. } => Some(Interest::Writable),
        // It has two sides: the caller knows which one to wait for.
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

/// Tells whether it is to fail where it would wait: a splice without a side on a disk.
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
