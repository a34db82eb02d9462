//! Anonymous pipes, and transfers of bytes between descriptors.
//!
//! The ends are in blocking mode, so that they can be given to a child process or to std as they
//! are. Nothing here needs `O_NONBLOCK`: the poll port makes each operation non-blocking by itself
//! (pipes that pipe(2) has made support `RWF_NOWAIT`), and the ring ignores the mode.
//!
//! This module is below `net`, `fs` and `process`, whose streams are descriptors, too. `io` is
//! above them all and exports the public items under std's names.

mod convert;
mod transfer;

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use crate::op::{Fs, Op, clamp};
use crate::sys::descriptor;
use crate::sys::message::SLICES_MAX;
use crate::task::wait::perform;

pub(crate) use convert::ends;
pub(crate) use transfer::{End, between};
pub use transfer::{Side, TransferError, transfer, transfer_up_to};

/// Creates an anonymous pipe, close-on-exec; the counterpart of `std::io::pipe`.
///
/// # Errors
/// Those of pipe(2): no descriptors left.
///
/// ```
/// use std::io::{Read, Write};
/// overlapped::run(|| {
///     let (mut reader, mut writer) = overlapped::io::pipe().unwrap();
///     overlapped::spawn(move || writer.write_all(b"through the kernel").unwrap());
///     let mut text = String::new();
///     reader.read_to_string(&mut text).unwrap();
///     assert_eq!(text, "through the kernel");
/// }).unwrap();
/// ```
pub fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = descriptor::pipe()?;
    Ok((PipeReader { fd: reader }, PipeWriter { fd: writer }))
}

/// The reading end of a pipe; the counterpart of `std::io::PipeReader`.
///
/// A read blocks only the calling tasklet. It returns 0 bytes when every writing end is closed.
#[derive(Debug)]
pub struct PipeReader {
    fd: OwnedFd,
}

/// The writing end of a pipe; the counterpart of `std::io::PipeWriter`.
///
/// A write blocks only the calling tasklet. It fails with `BrokenPipe` when every reading end is
/// closed. Inside a scheduler SIGPIPE is never raised, whatever its disposition is.
#[derive(Debug)]
pub struct PipeWriter {
    fd: OwnedFd,
}

impl PipeReader {
    /// Returns another handle to the same end; each byte goes to only one of the handles.
    ///
    /// # Errors
    /// Those of fcntl(2): no descriptors left.
    pub fn try_clone(&self) -> io::Result<PipeReader> {
        Ok(PipeReader { fd: descriptor::duplicate(self.as_fd())? })
    }
}

impl PipeWriter {
    /// Returns another handle to the same end; the reader sees the end when the last one is closed.
    ///
    /// # Errors
    /// Those of fcntl(2): no descriptors left.
    pub fn try_clone(&self) -> io::Result<PipeWriter> {
        Ok(PipeWriter { fd: descriptor::duplicate(self.as_fd())? })
    }
}

/// A stream that is a descriptor, so that `io::copy` can move its bytes inside the kernel.
pub(crate) trait Endpoint {
    /// Returns the descriptor, with the limit of its waits. `None` if the stream is in non-blocking
    /// mode: it must be read or written by its own methods then.
    fn end(&self, side: Side) -> Option<End<'_>>;
}

impl<T: Endpoint> Endpoint for &T {
    fn end(&self, side: Side) -> Option<End<'_>> {
        (**self).end(side)
    }
}

impl<T: Endpoint> Endpoint for &mut T {
    fn end(&self, side: Side) -> Option<End<'_>> {
        (**self).end(side)
    }
}

/// Reads from a descriptor at its cursor, blocking the calling tasklet only.
pub(crate) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(buf.len()));
    let op = Op::Fs(Fs::Read { fd, buf: buf.as_mut_ptr(), len, offset: None });
    // SAFETY: descriptor and buffer are borrowed for this call, and `perform` returns after the
    // completion.
    unsafe { perform(&op, None) }
}

/// Writes to a descriptor at its cursor, blocking the calling tasklet only. `fd` must not be a
/// socket: the write would raise SIGPIPE.
pub(crate) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let (fd, len) = (fd.as_raw_fd(), clamp(buf.len()));
    let op = Op::Fs(Fs::Write { fd, buf: buf.as_ptr(), len, offset: None });
    // SAFETY: as in `read`.
    unsafe { perform(&op, None) }
}

/// Reads as [`read`], into several slices in one call.
pub(crate) fn read_vectored(fd: BorrowedFd<'_>, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
    let (fd, slices, count) = (fd.as_raw_fd(), bufs.as_ptr().cast(), slice_count(bufs.len()));
    let op = Op::Fs(Fs::ReadVectored { fd, slices, count, offset: None });
    // SAFETY: as in `read`; std promises that a slice of these has the layout of one of iovecs.
    unsafe { perform(&op, None) }
}

/// Writes as [`write`], from several slices in one call: up to `PIPE_BUF` bytes go as one piece.
pub(crate) fn write_vectored(fd: BorrowedFd<'_>, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
    let (fd, slices, count) = (fd.as_raw_fd(), bufs.as_ptr().cast(), slice_count(bufs.len()));
    let op = Op::Fs(Fs::WriteVectored { fd, slices, count, offset: None });
    // SAFETY: as in `read_vectored`.
    unsafe { perform(&op, None) }
}

/// Returns the number of slices that one call takes. The rest is left for the next call, as in std.
fn slice_count(slices: usize) -> u32 {
    slices.min(SLICES_MAX) as u32
}

/// Implements `Read` for streams that are descriptors.
macro_rules! reads {
    ($($ours:ty),*) => {$(
        impl std::io::Read for $ours {
            fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
                $crate::pipe::read(self.as_fd(), buf)
            }

            fn read_vectored(
                &mut self,
                bufs: &mut [std::io::IoSliceMut<'_>],
            ) -> std::io::Result<usize> {
                $crate::pipe::read_vectored(self.as_fd(), bufs)
            }
        }
    )*};
}

/// Implements `Write` for streams that are descriptors.
macro_rules! writes {
    ($($ours:ty),*) => {$(
        impl std::io::Write for $ours {
            fn write(&mut self, buf: &[u8]) -> std::io::Result<usize> {
                $crate::pipe::write(self.as_fd(), buf)
            }

            fn write_vectored(
                &mut self,
                bufs: &[std::io::IoSlice<'_>],
            ) -> std::io::Result<usize> {
                $crate::pipe::write_vectored(self.as_fd(), bufs)
            }

            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
    )*};
}

pub(crate) use {reads, writes};

reads!(PipeReader, &PipeReader);
writes!(PipeWriter, &PipeWriter);
