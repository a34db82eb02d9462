//! Submission-queue entries for operations on files.

use io_uring::opcode;
use io_uring::squeue::Entry;
use io_uring::types::{self, Fd, FsyncFlags};

use crate::op::{Fs, assert_clamped};
use crate::sys::file::nonblocking::OpenHow;
use crate::sys::file::status::STAT_MASK;

const _: () = assert!(size_of::<OpenHow>() == size_of::<types::OpenHow>());

/// The offset that means "at the file's cursor".
pub(super) const AT_CURSOR: u64 = u64::MAX;

/// The directory against which relative paths are resolved.
const HERE: Fd = Fd(libc::AT_FDCWD);

/// Returns the opcode.
pub(super) fn code(fs: &Fs) -> u8 {
    match fs {
        Fs::Read { .. } => opcode::Read::CODE,
        Fs::Write { .. } => opcode::Write::CODE,
        Fs::ReadVectored { .. } => opcode::Readv::CODE,
        Fs::WriteVectored { .. } => opcode::Writev::CODE,
        Fs::Splice { .. } => opcode::Splice::CODE,
        Fs::Sync { .. } => opcode::Fsync::CODE,
        Fs::SetLen { .. } => opcode::Ftruncate::CODE,
        Fs::Open { .. } => opcode::OpenAt::CODE,
        Fs::OpenCached { .. } => opcode::OpenAt2::CODE,
        Fs::Stat { .. } => opcode::Statx::CODE,
        Fs::Rename { .. } => opcode::RenameAt::CODE,
        Fs::Unlink { .. } => opcode::UnlinkAt::CODE,
        Fs::MakeDir { .. } => opcode::MkDirAt::CODE,
        Fs::Link { .. } => opcode::LinkAt::CODE,
        Fs::Symlink { .. } => opcode::SymlinkAt::CODE,
    }
}

/// Makes the entry, without its user data.
#[inline]
pub(super) fn prepare(fs: &Fs) -> Entry {
    match *fs {
        Fs::Read { fd, buf, len, offset } => {
            assert_clamped(len);
            opcode::Read::new(Fd(fd), buf, len).offset(offset.unwrap_or(AT_CURSOR)).build()
        }
        Fs::Write { fd, buf, len, offset } => {
            assert_clamped(len);
            opcode::Write::new(Fd(fd), buf, len).offset(offset.unwrap_or(AT_CURSOR)).build()
        }
        Fs::ReadVectored { fd, slices, count, offset } => {
            let offset = offset.unwrap_or(AT_CURSOR);
            opcode::Readv::new(Fd(fd), slices, count).offset(offset).build()
        }
        Fs::WriteVectored { fd, slices, count, offset } => {
            let offset = offset.unwrap_or(AT_CURSOR);
            opcode::Writev::new(Fd(fd), slices, count).offset(offset).build()
        }
        Fs::Splice { from, to, len, on_disk: _ } => {
            assert_clamped(len);
            // A worker of the ring does the splice, and a pipe must not block the worker.
            let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
            opcode::Splice::new(Fd(from), -1, Fd(to), -1, len).flags(flags).build()
        }
        Fs::Sync { fd, data_only } => {
            let flags = if data_only { FsyncFlags::DATASYNC } else { FsyncFlags::empty() };
            opcode::Fsync::new(Fd(fd)).flags(flags).build()
        }
        Fs::SetLen { fd, len } => opcode::Ftruncate::new(Fd(fd), len).build(),
        Fs::Open { path, flags, mode } => {
            opcode::OpenAt::new(HERE, path).flags(flags | libc::O_LARGEFILE).mode(mode).build()
        }
        Fs::OpenCached { path, how } => opcode::OpenAt2::new(HERE, path, how.cast()).build(),
        Fs::Stat { at, path, flags, out } => {
            opcode::Statx::new(Fd(at), path, out.cast()).flags(flags).mask(STAT_MASK).build()
        }
        Fs::Rename { from, to } => opcode::RenameAt::new(HERE, from, HERE, to).build(),
        Fs::Unlink { path, directory } => {
            let flags = if directory { libc::AT_REMOVEDIR } else { 0 };
            opcode::UnlinkAt::new(HERE, path).flags(flags).build()
        }
        Fs::MakeDir { path, mode } => opcode::MkDirAt::new(HERE, path).mode(mode).build(),
        Fs::Link { from, to } => opcode::LinkAt::new(HERE, from, HERE, to).build(),
        Fs::Symlink { target, link } => opcode::SymlinkAt::new(HERE, target, link).build(),
    }
}
