//! Hand-written loops over io_uring: one thread, one ring, one operation in flight for each slot.
//! No file is registered, since a library could not know beforehand which ones to register.
//!
//! The buffers are never freed: after an error the ring is closed with operations in flight, which
//! does not wait for them. The process ends with its measurement.

use super::division::{COPY_BYTES, TASKS, share};
use crate::error::say;
use crate::material::files::{
    BLOCK_BYTES, Block, RandomBlocks, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use crate::traits::files::Files;
use io_uring::types::{Fd, statx};
use io_uring::{IoUring, opcode, squeue};
use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Raw;

fn ring() -> Result<IoUring, String> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(TASKS as u32).map_err(say)
}

/// Queues the operation of a slot.
///
/// # Safety
/// The memory to which the entry points does not move, and is not used, before the completion.
unsafe fn push(ring: &mut IoUring, slot: usize, entry: squeue::Entry) -> Result<(), String> {
    // SAFETY: the caller promises it.
    unsafe { ring.submission().push(&entry.user_data(slot as u64)) }.map_err(say)
}

/// Submits, waits for at least one completion, and takes all that are there.
fn wait(ring: &mut IoUring, done: &mut Vec<(usize, i32)>) -> Result<(), String> {
    ring.submit_and_wait(1).map_err(say)?;
    done.extend(ring.completion().map(|entry| (entry.user_data() as usize, entry.result())));
    Ok(())
}

/// Reads a result: a number, or an error.
fn number(result: i32) -> Result<usize, String> {
    usize::try_from(result).map_err(|_| say(std::io::Error::from_raw_os_error(-result)))
}

/// A random reader.
struct Reader {
    random: RandomBlocks,
    block: u64,
    left: u64,
    buffer: Box<Block>,
}

impl Reader {
    fn next(&mut self, file: Fd) -> Option<squeue::Entry> {
        self.left = self.left.checked_sub(1)?;
        self.block = self.random.next();
        let read = opcode::Read::new(file, self.buffer.0.as_mut_ptr(), BLOCK_BYTES as u32);
        Some(read.offset(self.block * BLOCK_BYTES as u64).build())
    }
}

impl Files for Raw {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        let file = File::open(file).map_err(say)?;
        let blocks = file.metadata().map_err(say)?.len() / BLOCK_BYTES as u64;
        let fd = Fd(file.as_raw_fd());
        let readers: Vec<Reader> = (0..TASKS)
            .map(|task| Reader {
                random: RandomBlocks::new(task, blocks),
                block: 0,
                left: share(reads, task),
                buffer: Box::new(Block::new()),
            })
            .collect();
        let mut readers = ManuallyDrop::new(readers);
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let mut in_flight = 0;
        let start = Instant::now();
        for (slot, reader) in readers.iter_mut().enumerate() {
            if let Some(entry) = reader.next(fd) {
                // SAFETY: a reader has one read in flight, into its own box, which is never
                // freed, and looks at it only after the completion.
                unsafe { push(&mut ring, slot, entry)? };
                in_flight += 1;
            }
        }
        while in_flight > 0 {
            wait(&mut ring, &mut done)?;
            for (slot, result) in done.drain(..) {
                let reader = &mut readers[slot];
                assert!(is_block(reader.block, &reader.buffer.0[..number(result)?]));
                match reader.next(fd) {
                    // SAFETY: as above; the previous read has just completed.
                    Some(entry) => unsafe { push(&mut ring, slot, entry)? },
                    None => in_flight -= 1,
                }
            }
        }
        Ok(start.elapsed())
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        let visits: Vec<Visit> = (0..TASKS as u64).map(Visit::new).collect();
        let mut visits = ManuallyDrop::new(visits);
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let mut in_flight = 0;
        let start = Instant::now();
        for (slot, visit) in visits.iter_mut().enumerate() {
            if let Some(entry) = visit.open(tree, files)? {
                // SAFETY: a visit has one operation in flight, on memory in its boxes, which are
                // never freed, and uses it only after the completion.
                unsafe { push(&mut ring, slot, entry)? };
                in_flight += 1;
            }
        }
        while in_flight > 0 {
            wait(&mut ring, &mut done)?;
            for (slot, result) in done.drain(..) {
                match visits[slot].next(number(result)?, tree, files)? {
                    // SAFETY: as above; the previous operation has just completed.
                    Some(entry) => unsafe { push(&mut ring, slot, entry)? },
                    None => in_flight -= 1,
                }
            }
        }
        Ok(start.elapsed())
    }

    fn copy_big(&self, from: &Path, to: &Path) -> Result<Duration, String> {
        let start = Instant::now();
        let source = File::open(from).map_err(say)?;
        let meta = source.metadata().map_err(say)?;
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(true);
        let target = options.mode(meta.permissions().mode() & 0o777).open(to).map_err(say)?;
        let (source, sink) = (Fd(source.as_raw_fd()), Fd(target.as_raw_fd()));
        let pieces: Vec<Piece> = (0..COPY_SLOTS).map(|_| Piece::new()).collect();
        let mut pieces = ManuallyDrop::new(pieces);
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let (mut next, mut in_flight) = (0, 0);
        for (slot, piece) in pieces.iter_mut().enumerate() {
            if let Some(entry) = piece.read(source, &mut next, meta.len()) {
                // SAFETY: a piece has one operation in flight, on its own buffer on the heap, which
                // is never freed, and uses it only after the completion.
                unsafe { push(&mut ring, slot, entry)? };
                in_flight += 1;
            }
        }
        while in_flight > 0 {
            wait(&mut ring, &mut done)?;
            for (slot, result) in done.drain(..) {
                let (moved, piece) = (number(result)?, &mut pieces[slot]);
                if moved != piece.bytes {
                    return Err("a short transfer".into());
                }
                let entry = if std::mem::take(&mut piece.reading) {
                    Some(piece.write(sink))
                } else {
                    piece.read(source, &mut next, meta.len())
                };
                match entry {
                    // SAFETY: as above; the previous operation has just completed.
                    Some(entry) => unsafe { push(&mut ring, slot, entry)? },
                    None => in_flight -= 1,
                }
            }
        }
        Ok(start.elapsed())
    }

    fn remark(&self, case: &str) -> Option<&'static str> {
        (case == "copy_big").then_some("reads and writes of 256 KiB, four at a time")
    }
}

/// The pieces of a copy under way. The buffers of more would not fit into the processor's cache.
const COPY_SLOTS: usize = 4;

struct Piece {
    buffer: Vec<u8>,
    at: u64,
    bytes: usize,
    reading: bool,
}

impl Piece {
    fn new() -> Piece {
        Piece { buffer: vec![0; COPY_BYTES], at: 0, bytes: 0, reading: false }
    }

    /// Begins to read the next part of the file, if any is left.
    fn read(&mut self, source: Fd, next: &mut u64, end: u64) -> Option<squeue::Entry> {
        self.at = *next;
        self.bytes = COPY_BYTES.min((end - self.at) as usize);
        *next += self.bytes as u64;
        self.reading = true;
        let buffer = self.buffer.as_mut_ptr();
        let read = opcode::Read::new(source, buffer, self.bytes as u32).offset(self.at).build();
        (self.bytes > 0).then_some(read)
    }

    fn write(&self, sink: Fd) -> squeue::Entry {
        opcode::Write::new(sink, self.buffer.as_ptr(), self.bytes as u32).offset(self.at).build()
    }
}

/// One slot of the small files: open, stat, read, close, then the next file.
struct Visit {
    number: u64,
    step: Step,
    fd: Fd,
    path: CString,
    stat: Box<MaybeUninit<libc::statx>>,
    buffer: Box<[u8; SMALL_BYTES_MAX]>,
}

#[derive(Clone, Copy)]
enum Step {
    Opening,
    Asking,
    Reading,
    Closing,
}

impl Visit {
    fn new(number: u64) -> Visit {
        Visit {
            number,
            step: Step::Opening,
            fd: Fd(-1),
            path: CString::default(),
            stat: Box::new(MaybeUninit::zeroed()),
            buffer: Box::new([0; SMALL_BYTES_MAX]),
        }
    }

    fn open(&mut self, tree: &Tree, files: u64) -> Result<Option<squeue::Entry>, String> {
        if self.number >= files {
            return Ok(None);
        }
        let path = tree.path(self.number % TREE_FILES);
        self.path = CString::new(path.as_os_str().as_bytes()).map_err(say)?;
        self.step = Step::Opening;
        let open = opcode::OpenAt::new(Fd(libc::AT_FDCWD), self.path.as_ptr());
        Ok(Some(open.flags(libc::O_RDONLY | libc::O_CLOEXEC).build()))
    }

    /// Returns the operation that follows a completion.
    fn next(
        &mut self,
        result: usize,
        tree: &Tree,
        files: u64,
    ) -> Result<Option<squeue::Entry>, String> {
        let number = self.number % TREE_FILES;
        Ok(match self.step {
            Step::Opening => {
                self.fd = Fd(result as i32);
                self.step = Step::Asking;
                const NO_PATH: &CStr = c"";
                let stat = self.stat.as_mut_ptr().cast::<statx>();
                let ask = opcode::Statx::new(self.fd, NO_PATH.as_ptr(), stat);
                let ask = ask.flags(libc::AT_EMPTY_PATH).mask(libc::STATX_BASIC_STATS);
                Some(ask.build())
            }
            Step::Asking => {
                self.step = Step::Reading;
                // SAFETY: plain numbers, zeroed at first, so that they are initialised even if the
                // kernel has filled in only some of them.
                let bytes = unsafe { self.stat.assume_init_ref() }.stx_size;
                assert_eq!(bytes, Tree::bytes(number));
                Some(opcode::Read::new(self.fd, self.buffer.as_mut_ptr(), bytes as u32).build())
            }
            Step::Reading => {
                self.step = Step::Closing;
                assert!(is_small(number, &self.buffer[..result]));
                Some(opcode::Close::new(self.fd).build())
            }
            Step::Closing => {
                self.number += TASKS as u64;
                self.open(tree, files)?
            }
        })
    }
}
