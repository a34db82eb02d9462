//! Transfers of bytes from one descriptor to another, in the kernel if it can.
//!
//! ```text
//! file ─▶ file            copy_file_range, by a pool thread                    (range)
//! pipe ─▶ any, any ─▶ pipe   one splice                                        (direct)
//! any  ─▶ any             a splice into a pipe of our own, a splice out of it  (pipe buffer)
//! all others              through memory                                       (buffer)
//! ```
//!
//! A splice made by this thread never waits: it fails with `EAGAIN`, and the tasklet waits for the
//! side that was not ready. If one side is a file, another thread waits for the disk: a worker of
//! the ring, or a pool thread on the readiness port. Sockets are never given to the ring's workers:
//! each one that waits would hold a worker, and a few dozen idle transfers would stop all others.
//!
//! **No byte is lost by an error or a deadline.** Bytes that have left the source and not reached
//! the sink are in the pipe buffer or in memory. When a transfer ends early, they go back into a
//! source that is a file (its cursor is put back), or on to a sink that takes them without waiting.
//! The rest is given to the caller in the error. A kill does the same, but leaves no caller to take
//! the rest: it is lost with the tasklet, as the buffer of any killed loop is. That can only happen
//! if neither side is a file, the bytes went through the pipe buffer or through memory, and the
//! sink was full.

mod buffer;
mod end;
mod error;
mod pipe_buffer;
mod splice_step;

use std::io;
use std::os::fd::AsFd;

use crate::sys;
use crate::sys::signal::sigpipe;
use crate::sys::splice;
use crate::sys::splice::Kind;
use crate::task::{cooperative_yield, in_tasklet, unblock_to_end};
pub(crate) use end::End;
use end::with_cursors;
use error::Failure;
pub use error::{Side, TransferError};
use splice_step::{Step, splice_step, wait_for_either};

/// The number of bytes that a pool thread copies between files before the tasklet checks for a
/// deadline and a kill.
const RANGE: usize = 8 << 20;

/// A file with at most this many bytes left is read into memory, which is quicker than to set up a
/// pipe: 16 KiB from a cached file to a socket take 9 µs by memory and 28 by a pipe; 64 KiB take 55
/// and 35.
const SMALL: u64 = 32 << 10;

/// The maximum number of attempts in a row that fail with `EAGAIN` although both sides are ready.
/// After these, the transfer stops splicing.
const FUTILE_MAX: u32 = 3;

/// Moves bytes from one descriptor to another until the source ends, and returns their number.
///
/// Takes files, pipes, stream sockets, and terminals; of this library, of std, or of others. Files
/// are read and written at their cursors, which move. On Linux, bytes between files, pipes and
/// non-blocking sockets (all of this library are) do not pass through user space: splice(2),
/// copy_file_range(2). In all other cases they go through memory, as do the bytes of a file for a
/// pipe or a socket if there are at most 32 KiB to move. It ignores the caller's own buffers (a
/// `BufReader` around the source); [`io::copy`](crate::io::copy) uses them.
///
/// Only the calling tasklet waits, until its deadline ([`timeout`](crate::time::timeout)) at most.
/// Time limits of sockets do not count here. As with sendfile(2), a file that is changed while a
/// socket still has its bytes to send may be sent as changed.
///
/// # Errors
/// [`TransferError`] names the side that failed and the number of bytes that were delivered, and
/// holds the bytes that were taken and could not be delivered. `InvalidInput` for datagram sockets:
/// the bounds of their messages would be lost.
///
/// ```
/// use std::io::{Read, Seek, Write};
/// overlapped::run(|| {
///     let mut file = tempfile::tempfile().unwrap();
///     file.write_all(b"from the page cache").unwrap();
///     file.rewind().unwrap();
///     let (mut reader, writer) = overlapped::io::pipe().unwrap();
///     assert_eq!(overlapped::io::transfer(&file, &writer).unwrap(), 19);
///     drop(writer);
///     let mut text = String::new();
///     reader.read_to_string(&mut text).unwrap();
///     assert_eq!(text, "from the page cache");
/// }).unwrap();
/// ```
pub fn transfer(from: impl AsFd, to: impl AsFd) -> Result<u64, TransferError> {
    transfer_up_to(from, to, u64::MAX)
}

/// Transfers as [`transfer`], but ends after `limit` bytes if the source does not end before.
///
/// # Errors
/// As [`transfer`].
///
/// ```
/// use std::io::Write;
/// overlapped::run(|| {
///     let (from, mut to_from) = overlapped::io::pipe().unwrap();
///     let (_rx, to) = overlapped::io::pipe().unwrap();
///     to_from.write_all(&[7; 100]).unwrap();
///     assert_eq!(overlapped::io::transfer_up_to(&from, &to, 60).unwrap(), 60);
/// }).unwrap();
/// ```
pub fn transfer_up_to(from: impl AsFd, to: impl AsFd, limit: u64) -> Result<u64, TransferError> {
    let end = |fd, side| End::new(fd, None).map_err(|error| Failure::of(side, error).after(0));
    between(end(from.as_fd(), Side::Source)?, end(to.as_fd(), Side::Sink)?, limit)
}

/// Moves at most `limit` bytes.
pub(crate) fn between(from: End<'_>, to: End<'_>, limit: u64) -> Result<u64, TransferError> {
    // On a scheduler's thread, SIGPIPE is blocked already.
    let _guard = (!in_tasklet()).then(sigpipe::block);
    let mut transfer = Transfer { from, to, left: limit, delivered: 0 };
    match transfer.run() {
        Ok(()) => Ok(transfer.delivered),
        Err(failure) => Err(failure.after(transfer.delivered)),
    }
}

struct Transfer<'a> {
    from: End<'a>,
    to: End<'a>,
    left: u64,
    delivered: u64,
}

/// The end of a transfer inside the kernel.
enum Ended {
    /// It ended with the source, or at the limit.
    Complete,
    /// The kernel cannot continue between these two. The bytes have left the source already.
    Unsupported(Vec<u8>),
}

impl Ended {
    const UNSUPPORTED: Ended = Ended::Unsupported(Vec::new());
}

impl Transfer<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let ended = match (self.from.kind, self.to.kind) {
            _ if !self.from.can_splice() || !self.to.can_splice() => Ended::UNSUPPORTED,
            (Kind::File, Kind::File) => self.by_range()?,
            (Kind::File, _) if self.is_small() => Ended::UNSUPPORTED,
            (Kind::Pipe, _) | (_, Kind::Pipe) => self.directly()?,
            _ => self.by_pipe_buffer()?,
        };
        match ended {
            Ended::Complete => Ok(()),
            Ended::Unsupported(_) if self.from.is_file() && self.to.is_file() => self.by_copying(),
            Ended::Unsupported(bytes) => self.by_buffer(bytes),
        }
    }

    /// Tells whether a file has little left. A file that has no length (as in /proc) is small.
    fn is_small(&self) -> bool {
        splice::left(self.from.fd).is_ok_and(|left| left.min(self.left) <= SMALL)
    }

    /// Returns the number of bytes that one operation may move next.
    fn part(&self, most: usize) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(most)
    }

    fn count(&mut self, delivered: usize) {
        self.delivered += delivered as u64;
        self.left -= delivered as u64;
    }

    /// Duplicates both descriptors for pool threads.
    fn duplicates(&self) -> Result<Files, Failure> {
        let duplicate = |end: &End<'_>, side| {
            sys::descriptor::duplicate(end.fd).map_err(|error| Failure::of(side, error))
        };
        Ok(Files {
            from: duplicate(&self.from, Side::Source)?,
            to: duplicate(&self.to, Side::Sink)?,
        })
    }

    fn by_range(&mut self) -> Result<Ended, Failure> {
        let mut files = self.duplicates()?;
        while self.left > 0 {
            cooperative_yield().map_err(Failure::of_source)?;
            let part = self.part(RANGE);
            let copied;
            (files, copied) = match with_cursors([&self.from, &self.to], || {
                Ok(unblock_to_end(move || {
                    let copied = splice::copy_range(&files.from, &files.to, part);
                    (files, copied)
                }))
            }) {
                Ok(done) => done,
                Err(error) => return Err(Failure::of_source(error)),
            };
            match copied {
                // Some files have no length, and can be read all the same (/proc).
                Ok(0) if self.delivered == 0 => return Ok(Ended::UNSUPPORTED),
                Ok(0) => break,
                Ok(copied) => self.count(copied),
                Err(error) if is_shortage(&error) => return Err(Failure::of_sink(error)),
                // The files are on different file systems, or one is opened to append. The
                // fallback, reading and writing, handles these.
                Err(_) => return Ok(Ended::UNSUPPORTED),
            }
        }
        Ok(Ended::Complete)
    }

    /// Splices directly: one side is a pipe.
    fn directly(&mut self) -> Result<Ended, Failure> {
        let on_disk = self.from.is_file() || self.to.is_file();
        let mut futile = 0;
        while self.left > 0 {
            if on_disk {
                // This keeps the ring from starting a worker in vain.
                wait_for_either(&self.from, &self.to)?;
            }
            match splice_step(&self.from, &self.to, self.part(usize::MAX))? {
                Step::Moved(0) => break,
                Step::Moved(moved) => {
                    futile = 0;
                    self.count(moved);
                    cooperative_yield().map_err(Failure::of_source)?;
                }
                Step::Blocked if wait_for_either(&self.from, &self.to)? => futile = 0,
                Step::Blocked if futile < FUTILE_MAX => futile += 1,
                Step::Blocked | Step::Unsupported => return Ok(Ended::UNSUPPORTED),
            }
        }
        Ok(Ended::Complete)
    }
}

/// Tells whether the sink has no room.
fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The descriptors that a pool thread works on.
struct Files {
    from: std::os::fd::OwnedFd,
    to: std::os::fd::OwnedFd,
}
