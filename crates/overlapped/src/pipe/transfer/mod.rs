//! Moving bytes from one descriptor to another, in the kernel where it can.
//!
//! ```text
//! file ─▶ file            copy_file_range, by a pool thread                    (range)
//! pipe ─▶ any, any ─▶ pipe   one splice                                        (direct)
//! any  ─▶ any             a splice into a pipe of our own, a splice out of it  (channel)
//! what splice cannot do   through a buffer                                     (buffer)
//! ```
//!
//! A splice of this thread never waits: it says `EAGAIN`, and the tasklet waits for the side that
//! was not ready. Where a file is one side, somebody else waits for the disk: a worker of the ring,
//! or a pool thread on the readiness port. Sockets are never given to the ring's workers: each one
//! that waits would hold a worker, and a few dozen idle transfers would stop all others.
//!
//! **No byte is lost by an error or a deadline.** What has left the source and not reached the sink
//! stands in our pipe or buffer. When a transfer ends early, it goes where it can: back, where the
//! source is a file (its cursor is put back); on, where the sink takes it without waiting; and what
//! is left is handed to the caller in the error. A kill does the same, but nobody is left to take
//! the rest: that is lost with the tasklet, as the buffer of any killed loop is. It can only happen
//! where no side is a file, the bytes went the third or the fourth way, and the sink was full.

mod buffer;
mod channel;
mod error;
mod leg;

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use crate::sys::descriptor;
use crate::sys::signal::sigpipe;
use crate::sys::splice;
use crate::sys::splice::Kind;
use crate::task::{breathe, in_tasklet, unblock_to_end};
use error::Failure;
pub use error::{Side, TransferError};
use leg::{Leg, leg, wait_for_either};

/// How much a pool thread copies between files before the tasklet looks at deadline and kill.
const RANGE: usize = 8 << 20;

/// A file with no more left than this is read into a buffer, which is quicker than to set up
/// anything else: 16 KiB from a cached file to a socket take 9 µs by a buffer and 28 by a pipe;
/// 64 KiB, 55 and 35.
const SMALL: u64 = 32 << 10;

/// Attempts in a row that say `EAGAIN` although both sides are ready, before the kernel's way is
/// given up.
const FUTILE_MAX: u32 = 3;

/// Moves bytes from one descriptor to another until the source ends, and returns how many.
///
/// Any two of files, pipes, stream sockets, terminals; of this library, of std, or of others. Files
/// are read and written at their cursors, which move. Between files, pipes and non-blocking sockets
/// (all of this library are) the bytes do not pass through user space: splice(2),
/// copy_file_range(2). For all else they go through a buffer. The caller's own buffers (a
/// `BufReader` around the source) are not looked at; [`io::copy`](crate::io::copy) does.
///
/// Only the calling tasklet waits, under its deadline, [`timeout`](crate::time::timeout). Time
/// limits of sockets do not count here. As with sendfile(2), a file that is changed while a socket
/// still has its bytes to send may be sent as changed.
///
/// # Errors
/// [`TransferError`] says which side failed, how many bytes have been delivered, and holds those
/// that were taken and could not be delivered. `InvalidInput` for datagram sockets: the bounds of
/// their messages would be lost.
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

/// As [`transfer`], but ends after `limit` bytes, if the source does not end before.
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

/// One end of a transfer.
#[derive(Clone, Copy)]
pub(crate) struct End<'a> {
    fd: BorrowedFd<'a>,
    kind: Kind,
    /// How long it may be waited for at a time: a stream's own limit.
    patience: Option<Duration>,
    /// Whose turn it is at a file's cursor.
    turns: Option<&'a dyn Turns>,
}

/// A file's cursor that others may want to use, too.
pub(crate) trait Turns {
    /// Calls `f` when it is the caller's turn.
    ///
    /// # Errors
    /// `f` has not been called: the deadline has passed, or the caller may not wait.
    fn during(&self, f: &mut dyn FnMut()) -> io::Result<()>;
}

impl<'a> End<'a> {
    pub(crate) fn new(fd: BorrowedFd<'a>, patience: Option<Duration>) -> io::Result<End<'a>> {
        let kind = splice::kind(fd)?;
        if kind == Kind::Datagrams {
            let text = "a datagram socket is no stream: use recv and send";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        Ok(End { fd, kind, patience, turns: None })
    }

    /// With the queue for its cursor, if it is a file, which has one. What else is called a file
    /// may wait for ever, and nobody may wait for its turn as long.
    pub(crate) fn in_turn(self, turns: &'a dyn Turns) -> End<'a> {
        End { turns: self.is_file().then_some(turns), ..self }
    }

    /// One end of a pipe of our own.
    fn ours(fd: BorrowedFd<'a>) -> End<'a> {
        End { fd, kind: Kind::Pipe, patience: None, turns: None }
    }

    fn is_file(&self) -> bool {
        self.kind == Kind::File
    }

    /// Whether splice(2) may be tried with it on this thread.
    fn is_fit(&self) -> bool {
        matches!(self.kind, Kind::File | Kind::Pipe | Kind::Socket)
    }
}

/// Moves at most `limit` bytes.
pub(crate) fn between(from: End<'_>, to: End<'_>, limit: u64) -> Result<u64, TransferError> {
    // On a scheduler's thread, SIGPIPE is blocked already.
    let _guard = (!in_tasklet()).then(sigpipe::hold_off);
    let mut transfer = Transfer { from, to, left: limit, delivered: 0 };
    match transfer.run() {
        Ok(()) => Ok(transfer.delivered),
        Err(failure) => Err(failure.after(transfer.delivered)),
    }
}

/// Makes a call that moves the cursors of `ends`, when it is its turn at each. No call waits for
/// anything but a disk in its turn.
///
/// The turns are taken in the order of the cursors' addresses: in another order, two transfers in
/// opposite directions could each have what the other one waits for.
fn in_turn<T, const N: usize>(
    ends: [&End<'_>; N],
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let mut turns = ends.map(|end| end.turns);
    turns.sort_unstable_by_key(|turns| turns.map(|turns| std::ptr::from_ref(turns).addr()));
    with_all(&turns, call)
}

/// Makes a call when it is its turn with each of `turns`, one after another.
fn with_all<T>(
    turns: &[Option<&dyn Turns>],
    call: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let Some((first, others)) = turns.split_first() else { return call() };
    let is_same =
        |turns: &dyn Turns| others.iter().flatten().any(|other| std::ptr::addr_eq(*other, turns));
    // Two handles of one file share its cursor: one turn is enough.
    let Some(first) = first.filter(|first| !is_same(*first)) else { return with_all(others, call) };
    let (mut call, mut done) = (Some(call), None);
    first.during(&mut || done = call.take().map(|call| with_all(others, call)))?;
    done.expect("a turn calls what it is for")
}

struct Transfer<'a> {
    from: End<'a>,
    to: End<'a>,
    left: u64,
    delivered: u64,
}

/// How a way through the kernel has ended.
enum Ended {
    /// With the source, or at the limit.
    Whole,
    /// The kernel cannot go on between these two. The bytes are on their way already.
    Unfit(Vec<u8>),
}

impl Ended {
    const UNFIT: Ended = Ended::Unfit(Vec::new());
}

impl Transfer<'_> {
    fn run(&mut self) -> Result<(), Failure> {
        let ended = match (self.from.kind, self.to.kind) {
            _ if !self.from.is_fit() || !self.to.is_fit() => Ended::UNFIT,
            (Kind::File, Kind::File) => self.by_range()?,
            (Kind::File, _) if self.is_small() => Ended::UNFIT,
            (Kind::Pipe, _) | (_, Kind::Pipe) => self.directly()?,
            _ => self.by_channel()?,
        };
        match ended {
            Ended::Whole => Ok(()),
            Ended::Unfit(_) if self.from.is_file() && self.to.is_file() => self.by_copying(),
            Ended::Unfit(bytes) => self.by_buffer(bytes),
        }
    }

    /// Whether a file has little left. One that says nothing of its length (as in /proc) is small.
    fn is_small(&self) -> bool {
        splice::left(self.from.fd).is_ok_and(|left| left.min(self.left) <= SMALL)
    }

    /// The bytes that may be moved next, as one operation may have them.
    fn part(&self, most: usize) -> usize {
        usize::try_from(self.left).unwrap_or(usize::MAX).min(most)
    }

    fn note(&mut self, delivered: usize) {
        self.delivered += delivered as u64;
        self.left -= delivered as u64;
    }

    /// Duplicates for pool threads.
    fn duplicates(&self) -> Result<Files, Failure> {
        let duplicate = |end: &End<'_>, side| {
            descriptor::duplicate(end.fd).map_err(|error| Failure::of(side, error))
        };
        Ok(Files {
            from: duplicate(&self.from, Side::Source)?,
            to: duplicate(&self.to, Side::Sink)?,
        })
    }

    fn by_range(&mut self) -> Result<Ended, Failure> {
        let mut files = self.duplicates()?;
        while self.left > 0 {
            breathe().map_err(Failure::of_source)?;
            let part = self.part(RANGE);
            let copied;
            (files, copied) = match in_turn([&self.from, &self.to], || {
                Ok(unblock_to_end(move || {
                    let copied = splice::copy_range(&files.from, &files.to, part);
                    (files, copied)
                }))
            }) {
                Ok(done) => done,
                Err(error) => return Err(Failure::of_source(error)),
            };
            match copied {
                // Some files have no end to copy to, and are read all the same (/proc).
                Ok(0) if self.delivered == 0 => return Ok(Ended::UNFIT),
                Ok(0) => break,
                Ok(copied) => self.note(copied),
                Err(error) if is_shortage(&error) => return Err(Failure::of_sink(error)),
                // Other file systems, a file to append to: reading and writing tells.
                Err(_) => return Ok(Ended::UNFIT),
            }
        }
        Ok(Ended::Whole)
    }

    /// One side is a pipe.
    fn directly(&mut self) -> Result<Ended, Failure> {
        let on_disk = self.from.is_file() || self.to.is_file();
        let mut futile = 0;
        while self.left > 0 {
            if on_disk {
                // A worker is not to be sent for nothing.
                wait_for_either(&self.from, &self.to)?;
            }
            match leg(&self.from, &self.to, self.part(usize::MAX))? {
                Leg::Moved(0) => break,
                Leg::Moved(moved) => {
                    futile = 0;
                    self.note(moved);
                    breathe().map_err(Failure::of_source)?;
                }
                Leg::Blocked if wait_for_either(&self.from, &self.to)? => futile = 0,
                Leg::Blocked if futile < FUTILE_MAX => futile += 1,
                Leg::Blocked | Leg::Unfit => return Ok(Ended::UNFIT),
            }
        }
        Ok(Ended::Whole)
    }
}

/// Whether the sink has no room.
fn is_shortage(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// What a pool thread works on.
struct Files {
    from: std::os::fd::OwnedFd,
    to: std::os::fd::OwnedFd,
}
