//! Operations on files, as data.

use crate::sys::descriptor::{Raw, WORKING_DIRECTORY};
use crate::sys::file::RawPath;
use crate::sys::file::nonblocking::OpenHow;
use crate::sys::file::status::StatBuf;
use crate::sys::message::Slice;

/// Operations on files, pipes and terminals. Paths end in a zero byte.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fs {
    /// pread(2) at `offset`, or read(2) without one. Result: bytes read.
    Read { fd: Raw, buf: *mut u8, len: u32, offset: Option<u64> },
    /// pwrite(2) at `offset`, or write(2) without one. Result: bytes written.
    Write { fd: Raw, buf: *const u8, len: u32, offset: Option<u64> },
    /// preadv(2) or readv(2) into `count` slices, 1,024 at most. Result: bytes read.
    ReadVectored { fd: Raw, slices: *const Slice, count: u32, offset: Option<u64> },
    /// pwritev(2) or writev(2). Result: bytes written.
    WriteVectored { fd: Raw, slices: *const Slice, count: u32, offset: Option<u64> },
    /// splice(2) at the cursors; one side is a pipe. Result: bytes moved, 0 at the end. `EAGAIN` if
    /// a pipe or a socket is not ready: the caller finds out which one, and waits for it.
    /// `on_disk`: the other side is a file, for which a worker waits if the port has workers.
    Splice { from: Raw, to: Raw, len: u32, on_disk: bool },
    /// fsync(2), or fdatasync(2). Result 0.
    Sync { fd: Raw, data_only: bool },
    /// ftruncate(2). Result 0.
    SetLen { fd: Raw, len: u64 },
    /// openat(2), relative to the working directory. Result: the new descriptor.
    Open { path: RawPath, flags: i32, mode: u32 },
    /// openat2(2), relative to the working directory, with `RESOLVE_CACHED` and flags that neither
    /// create nor truncate: `EAGAIN` if the kernel's cache of names does not lead there, or
    /// the open would have to wait; a FIFO does not. Result: the new descriptor.
    OpenCached { path: RawPath, how: *const OpenHow },
    /// statx(2) of all fields of a [`StatBuf`]. Result 0.
    Stat { at: Raw, path: RawPath, flags: i32, out: *mut StatBuf },
    /// rename(2). Result 0.
    Rename { from: RawPath, to: RawPath },
    /// unlinkat(2): unlink(2), or rmdir(2). Result 0.
    Unlink { path: RawPath, directory: bool },
    /// mkdir(2). Result 0.
    MakeDir { path: RawPath, mode: u32 },
    /// link(2). Result 0.
    Link { from: RawPath, to: RawPath },
    /// symlink(2): makes `link` lead to `target`. Result 0.
    Symlink { target: RawPath, link: RawPath },
}

impl Fs {
    /// Returns a short name for dumps and deadlock reports.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Fs::Read { .. } | Fs::ReadVectored { .. } => "read",
            Fs::Write { .. } | Fs::WriteVectored { .. } => "write",
            Fs::Splice { .. } => "splice",
            Fs::Sync { .. } => "sync",
            Fs::SetLen { .. } => "truncate",
            Fs::Open { .. } | Fs::OpenCached { .. } => "open",
            Fs::Stat { .. } => "stat",
            Fs::Rename { .. } => "rename",
            Fs::Unlink { .. } => "unlink",
            Fs::MakeDir { .. } => "mkdir",
            Fs::Link { .. } => "link",
            Fs::Symlink { .. } => "symlink",
        }
    }

    /// Returns the descriptor on which the operation works, or from which its path leads.
    pub(super) fn fd(&self) -> Raw {
        match *self {
            Fs::Read { fd, .. }
            | Fs::Write { fd, .. }
            | Fs::ReadVectored { fd, .. }
            | Fs::WriteVectored { fd, .. }
            | Fs::Splice { from: fd, .. }
            | Fs::Sync { fd, .. }
            | Fs::SetLen { fd, .. }
            | Fs::Stat { at: fd, .. } => fd,
            Fs::Open { .. }
            | Fs::OpenCached { .. }
            | Fs::Rename { .. }
            | Fs::Unlink { .. }
            | Fs::MakeDir { .. }
            | Fs::Link { .. }
            | Fs::Symlink { .. } => WORKING_DIRECTORY,
        }
    }
}
