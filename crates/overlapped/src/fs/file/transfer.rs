//! Moving bytes between memory and a file: by which way, and in which order.
//!
//! | the file is | at the cursor | at an offset |
//! |---|---|---|
//! | on a disk | in turn; from the page cache in place, else ring or pool | the same, at once |
//! | a FIFO, a terminal, a device | by the port, as pipes | by the port |
//! | a socket | received and sent: write(2) would raise SIGPIPE | an error |
//!
//! **Past the cache** (`O_DIRECT`): see [`File::past_cache`].
//! **In place**: what is in the page cache is read by a call that never waits (`RWF_NOWAIT`); but
//! at an offset, where other tasklets are ready, the ring reads for all of them in one call.
//! **Pool**: the readiness backend has nothing for disks, so a thread of the pool reads or writes
//! memory of its own, from or to which the caller copies.

use std::io::{self, SeekFrom};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::File;
use super::cursor::{Cursor, Turn};
use super::spare;
use crate::op::{Fs, Net, Op, clamp};
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::FileKind;
use crate::sys::file::transfer::read_cached;
use crate::sys::message::{Message, SLICES_MAX};
use crate::task::aside::{Way, in_place, on_pool, others_are_ready, way};
use crate::task::shield;
use crate::task::wait::{perform, perform_now};

/// The most that a job of the pool copies at once. A longer transfer is several jobs.
const COPY_MAX: usize = 16 << 20;

/// What a page's size is a multiple of.
const SECTOR: u64 = 512;

/// What a [`File`] notes as its kind before that is known.
pub(super) const UNKNOWN: u8 = 0;

const KINDS: [FileKind; 6] = [
    FileKind::Disk { direct: false, append: false },
    FileKind::Disk { direct: false, append: true },
    FileKind::Disk { direct: true, append: false },
    FileKind::Disk { direct: true, append: true },
    FileKind::Socket,
    FileKind::Stream,
];

/// What it notes then.
pub(super) fn number(kind: FileKind) -> u8 {
    let place = KINDS.iter().position(|known| *known == kind);
    place.map_or(UNKNOWN, |place| place as u8 + 1)
}

/// The memory of one transfer. Everything in it is borrowed by whoever made it.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// To be written to by a read.
    Into(*mut u8, usize),
    /// To be read from by a write.
    From(*const u8, usize),
    /// Slices to be written to.
    IntoSlices(*const libc::iovec, usize),
    /// Slices to be read from.
    FromSlices(*const libc::iovec, usize),
}

impl Memory {
    fn op(self, fd: i32, offset: Option<u64>) -> Op {
        let count = |count: usize| count.min(SLICES_MAX) as u32;
        Op::Fs(match self {
            Memory::Into(buf, len) => Fs::Read { fd, buf, len: clamp(len), offset },
            Memory::From(buf, len) => Fs::Write { fd, buf, len: clamp(len), offset },
            Memory::IntoSlices(slices, n) => {
                Fs::ReadVectored { fd, slices, count: count(n), offset }
            }
            Memory::FromSlices(slices, n) => {
                Fs::WriteVectored { fd, slices, count: count(n), offset }
            }
        })
    }

    fn is_read(self) -> bool {
        matches!(self, Memory::Into(..) | Memory::IntoSlices(..))
    }

    /// All of it, as far as one call takes it.
    ///
    /// # Safety
    /// The slices are valid.
    unsafe fn slices(self) -> Vec<libc::iovec> {
        match self {
            Memory::Into(buf, len) => vec![libc::iovec { iov_base: buf.cast(), iov_len: len }],
            Memory::From(buf, len) => {
                vec![libc::iovec { iov_base: buf.cast_mut().cast(), iov_len: len }]
            }
            Memory::IntoSlices(slices, n) | Memory::FromSlices(slices, n) => {
                // SAFETY: the caller's promise.
                unsafe { std::slice::from_raw_parts(slices, n.min(SLICES_MAX)) }.to_vec()
            }
        }
    }
}

impl File {
    /// Reads or writes, blocking the calling tasklet only. Returns the bytes moved.
    ///
    /// # Safety
    /// The memory is valid for what it is for, and used by nobody else, until this returns.
    pub(super) unsafe fn transfer(&self, memory: Memory, offset: Option<u64>) -> io::Result<usize> {
        // As pread(2) says it; to the ring, -1 is the cursor.
        if offset.is_some_and(|offset| i64::try_from(offset).is_err()) {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        // SAFETY: handed on to the caller, for each of them.
        unsafe {
            match self.file_kind()? {
                FileKind::Disk { direct, append } if direct && offset.is_none() => {
                    self.past_cache(memory, append)
                }
                FileKind::Disk { direct, .. } => self.by_disk(memory, offset, direct),
                FileKind::Socket if offset.is_none() => self.by_socket(memory),
                FileKind::Stream | FileKind::Socket => self.by_port(memory, offset),
            }
        }
    }

    fn file_kind(&self) -> io::Result<FileKind> {
        if let Some(known) = KINDS.get(usize::from(self.kind.load(Relaxed)).wrapping_sub(1)) {
            return Ok(*known);
        }
        let kind = nonblocking::kind(self.as_fd())?;
        self.kind.store(number(kind), Relaxed);
        Ok(kind)
    }

    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn by_port(&self, memory: Memory, offset: Option<u64>) -> io::Result<usize> {
        let op = memory.op(self.fd.as_raw_fd(), offset);
        // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
        unsafe { perform(&op, None) }
    }

    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn by_socket(&self, memory: Memory) -> io::Result<usize> {
        let (fd, nonblocking) = (self.fd.as_raw_fd(), false);
        let op = match memory {
            Memory::Into(buf, len) => {
                let (len, peek) = (clamp(len), false);
                Net::Recv { fd, buf, len, peek, nonblocking }
            }
            Memory::From(buf, len) => Net::Send { fd, buf, len: clamp(len), nonblocking },
            Memory::IntoSlices(slices, count) | Memory::FromSlices(slices, count) => {
                // SAFETY: the caller's promise.
                return unsafe { self.by_message(slices, count, memory.is_read()) };
            }
        };
        // SAFETY: as in `by_port`.
        unsafe { perform(&Op::Net(op), None) }
    }

    /// # Safety
    /// As for [`File::transfer`], for these slices.
    unsafe fn by_message(
        &self,
        slices: *const libc::iovec,
        count: usize,
        is_read: bool,
    ) -> io::Result<usize> {
        // SAFETY: the caller's promise.
        let all = unsafe { std::slice::from_raw_parts(slices, count) };
        // readv(2) and writev(2), which std calls, answer this at once; the others would not.
        if all.iter().all(|slice| slice.iov_len == 0) {
            return Ok(0);
        }
        let (fd, nonblocking) = (self.fd.as_raw_fd(), false);
        let mut message = Message::over(slices.cast_mut(), count);
        let message = &raw mut message;
        let op = if is_read {
            Net::RecvMsg { fd, message: message.cast(), peek: false, nonblocking }
        } else {
            Net::SendMsg { fd, message: message.cast_const().cast(), nonblocking }
        };
        // SAFETY: as in `by_port`; the header stands on this frame.
        unsafe { perform(&Op::Net(op), None) }
    }

    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn by_disk(
        &self,
        memory: Memory,
        offset: Option<u64>,
        direct: bool,
    ) -> io::Result<usize> {
        let op = memory.op(self.fd.as_raw_fd(), offset);
        let way = way(&op);
        if way == Way::Pool {
            // SAFETY: the caller's promise.
            return unsafe { self.by_pool(memory, offset, direct) };
        }
        let turn = match offset {
            None => Some(Cursor::enter(&*self.cursor)?),
            Some(_) => None,
        };
        if way == Way::InPlace {
            // SAFETY: the caller's promise; the borrow of `self` keeps the descriptor open.
            return unsafe { perform_now(&op) };
        }
        let (mut memory, mut offset) = (memory, offset);
        let mut done = 0;
        // Others that are ready may want to read at offsets, too: one call of the ring does it for
        // all of them.
        let alone = |len| len == 0 || offset.is_none() || !others_are_ready();
        if let Memory::Into(_, len) = memory
            && !direct
            && alone(len)
        {
            // SAFETY: the caller's promise.
            match unsafe { self.read_cache(memory, offset) }? {
                Cached::All(count) => return Ok(count),
                Cached::Part(count) => {
                    // SAFETY: so many bytes were written into it.
                    (memory, offset) = unsafe { rest(memory, offset, count) };
                    done = count;
                }
            }
        }
        // SAFETY: the caller's promise.
        let by_port = || keep(done, || unsafe { self.by_port(memory, offset) });
        let more = match turn {
            Some(turn) => turn.during(by_port),
            None => by_port(),
        };
        match more {
            Err(_) if done > 0 => Ok(done),
            more => more.map(|more| done + more),
        }
    }

    /// A transfer at the cursor of a file opened with `O_DIRECT`. The ring moves no cursor at the
    /// end of what the disk has done by itself, so the transfer gets an offset, and the cursor is
    /// moved here; what is appended has no offset beforehand, and goes to the pool.
    ///
    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn past_cache(&self, memory: Memory, append: bool) -> io::Result<usize> {
        let way = way(&memory.op(self.fd.as_raw_fd(), Some(0)));
        if way != Way::Port || (append && !memory.is_read()) {
            // SAFETY: the caller's promise.
            return unsafe { self.by_pool(memory, None, true) };
        }
        let turn = Cursor::enter(&*self.cursor)?;
        let at = nonblocking::seek(self.as_fd(), SeekFrom::Current(0))?;
        // SAFETY: the caller's promise.
        let done = turn.during(|| unsafe { self.by_port(memory, Some(at)) })?;
        nonblocking::seek(self.as_fd(), SeekFrom::Start(at + done as u64))?;
        Ok(done)
    }

    /// Reads what is in the page cache.
    ///
    /// # Safety
    /// As for [`File::transfer`]; the memory is one slice to be written to.
    unsafe fn read_cache(&self, memory: Memory, offset: Option<u64>) -> io::Result<Cached> {
        let fd = self.fd.as_raw_fd();
        let (mut memory, mut offset) = (memory, offset);
        let mut done = 0;
        loop {
            let Memory::Into(buf, len) = memory else { unreachable!("the caller's promise") };
            if len == 0 {
                // Only read(2) and pread(2) still say of a folder that it is one; neither waits.
                // SAFETY: the caller's promise.
                let read = in_place(|| unsafe { perform_now(&memory.op(fd, offset)) })?;
                return read.map(Cached::All);
            }
            // SAFETY: the caller's promise.
            let read = || unsafe { read_cached(fd, buf, clamp(len), offset) };
            // Once there is something to be returned, nothing else may decide.
            let count = match if done == 0 { in_place(read)? } else { read() } {
                count @ 0.. => count as usize,
                errno if errno == -libc::EAGAIN || errno == -libc::EOPNOTSUPP => {
                    return Ok(Cached::Part(done));
                }
                _ if done > 0 => return Ok(Cached::All(done)),
                errno => return Err(io::Error::from_raw_os_error(-errno)),
            };
            done += count;
            // The cache holds whole pages: what ends inside of one ends with the file.
            let ends_inside = offset
                .is_some_and(|offset| !(offset.wrapping_add(count as u64)).is_multiple_of(SECTOR));
            if count == 0 || count == len || ends_inside {
                return Ok(Cached::All(done));
            }
            // SAFETY: so many bytes were written into it.
            (memory, offset) = unsafe { rest(memory, offset, count) };
        }
    }

    /// # Safety
    /// As for [`File::transfer`].
    #[cold]
    unsafe fn by_pool(
        &self,
        memory: Memory,
        offset: Option<u64>,
        direct: bool,
    ) -> io::Result<usize> {
        // The job takes the turn with it, so that it is over when the job is, whoever waits for it.
        let mut turn = match offset {
            None => Some(Cursor::enter(Arc::clone(&self.cursor))?),
            Some(_) => None,
        };
        let (mut memory, mut offset) = (memory, offset);
        let mut done = 0;
        loop {
            let is_one_read = matches!(memory, Memory::Into(..));
            if is_one_read && !direct {
                // SAFETY: the caller's promise.
                match keep(done, || unsafe { self.read_cache(memory, offset) }) {
                    Ok(Cached::All(count)) => return Ok(done + count),
                    Ok(Cached::Part(count)) => {
                        // SAFETY: so many bytes were written into it.
                        (memory, offset) = unsafe { rest(memory, offset, count) };
                        done += count;
                    }
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error),
                }
            }
            // SAFETY: the caller's promise.
            let count = match keep(done, || unsafe { self.job(memory, offset, turn.take()) }) {
                Ok((count, back)) => {
                    turn = back;
                    count
                }
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            done += count;
            let goes_on = count == COPY_MAX
                && matches!(memory, Memory::Into(_, len) | Memory::From(_, len) if len > count);
            if !goes_on {
                return Ok(done);
            }
            // SAFETY: so many bytes were moved.
            (memory, offset) = unsafe { rest(memory, offset, count) };
        }
    }

    /// One job, which works on memory of its own and gives the turn back.
    ///
    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn job(
        &self,
        memory: Memory,
        offset: Option<u64>,
        turn: Option<Turn<Arc<Cursor>>>,
    ) -> io::Result<(usize, Option<Turn<Arc<Cursor>>>)> {
        let file = Arc::clone(&self.fd);
        // SAFETY: the caller's promise.
        let slices = unsafe { memory.slices() };
        let total = slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.iov_len));
        let total = total.min(COPY_MAX);
        let mut copy = spare::take(total);
        if memory.is_read() {
            let (count, copy, turn) = on_pool("read", move |_| {
                let (fd, buf, len) = (file.as_raw_fd(), copy.as_mut_ptr(), clamp(total));
                // SAFETY: the copy is this job's own, as long as it says.
                let count = unsafe { perform_now(&Op::Fs(Fs::Read { fd, buf, len, offset })) }?;
                Ok((count, copy, turn))
            })?;
            let mut from = &copy[..count];
            for slice in slices {
                let (here, rest) = from.split_at(slice.iov_len.min(from.len()));
                // SAFETY: the slice has room for them, and is nobody else's.
                unsafe {
                    std::ptr::copy_nonoverlapping(here.as_ptr(), slice.iov_base.cast(), here.len());
                }
                from = rest;
            }
            spare::give(copy);
            return Ok((count, turn));
        }
        let mut at = &mut copy[..total];
        for slice in slices {
            let (here, rest) = at.split_at_mut(slice.iov_len.min(at.len()));
            // SAFETY: the slice has at least so many bytes.
            unsafe {
                std::ptr::copy_nonoverlapping(slice.iov_base.cast(), here.as_mut_ptr(), here.len());
            }
            at = rest;
        }
        let (count, copy, turn) = on_pool("write", move |_| {
            let (fd, buf, len) = (file.as_raw_fd(), copy.as_ptr(), clamp(total));
            let op = Op::Fs(Fs::Write { fd, buf, len, offset });
            // SAFETY: as above.
            let count = unsafe { perform_now(&op) }?;
            Ok((count, copy, turn))
        })?;
        spare::give(copy);
        Ok((count, turn))
    }
}

/// Goes on with a transfer that has moved something: a kill must wait for what is to be returned.
fn keep<R>(done: usize, more: impl FnOnce() -> R) -> R {
    if done > 0 { shield(more) } else { more() }
}

/// What the page cache had.
enum Cached {
    /// All there is to be had.
    All(usize),
    /// So much, and the rest is on the disk.
    Part(usize),
}

/// What is left of a transfer after `count` bytes.
///
/// # Safety
/// The memory is one slice of at least so many bytes.
unsafe fn rest(memory: Memory, offset: Option<u64>, count: usize) -> (Memory, Option<u64>) {
    let memory = match memory {
        // SAFETY: within the slice, by the caller's promise.
        Memory::Into(buf, len) => Memory::Into(unsafe { buf.add(count) }, len - count),
        // SAFETY: as above.
        Memory::From(buf, len) => Memory::From(unsafe { buf.add(count) }, len - count),
        Memory::IntoSlices(..) | Memory::FromSlices(..) => unreachable!("the caller's promise"),
    };
    (memory, offset.map(|offset| offset.wrapping_add(count as u64)))
}
