//! Hand-written loops over io_uring: one thread, one ring, one operation in flight for each of the
//! slots. No file is registered, as no library could know beforehand which ones to register.

use super::{COPY_BYTES, Files, say, share};
use crate::files::TASKS;
use crate::files::material::{
    BLOCK_BYTES, Block, Places, SMALL_BYTES_MAX, TREE_FILES, Tree, is_block, is_small,
};
use io_uring::types::{Fd, statx};
use io_uring::{IoUring, opcode, squeue};
use std::ffi::{CStr, CString};
use std::fs::{File, OpenOptions};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) struct Raw;

fn ring() -> Result<IoUring, String> {
    IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(TASKS as u32).map_err(say)
}

/// Queues what belongs to a slot.
///
/// # Safety
/// What the entry points to stays where it is, and is not touched, before its completion.
unsafe fn push(ring: &mut IoUring, slot: usize, entry: squeue::Entry) -> Result<(), String> {
    // SAFETY: as promised.
    unsafe { ring.submission().push(&entry.user_data(slot as u64)) }.map_err(say)
}

/// Submits, waits for one completion at least, and takes all there are.
fn wait(ring: &mut IoUring, done: &mut Vec<(usize, i32)>) -> Result<(), String> {
    ring.submit_and_wait(1).map_err(say)?;
    done.extend(ring.completion().map(|entry| (entry.user_data() as usize, entry.result())));
    Ok(())
}

fn number(result: i32) -> Result<usize, String> {
    usize::try_from(result).map_err(|_| say(std::io::Error::from_raw_os_error(-result)))
}

/// A random reader.
struct Reader {
    places: Places,
    block: u64,
    left: u64,
    buffer: Box<Block>,
}

impl Reader {
    fn next(&mut self, file: Fd) -> Option<squeue::Entry> {
        self.left = self.left.checked_sub(1)?;
        self.block = self.places.next();
        let read = opcode::Read::new(file, self.buffer.0.as_mut_ptr(), BLOCK_BYTES as u32);
        Some(read.offset(self.block * BLOCK_BYTES as u64).build())
    }
}

impl Files for Raw {
    fn random_reads(&self, file: &Path, reads: u64) -> Result<Duration, String> {
        let file = File::open(file).map_err(say)?;
        let blocks = file.metadata().map_err(say)?.len() / BLOCK_BYTES as u64;
        let fd = Fd(file.as_raw_fd());
        let mut readers: Vec<Reader> = (0..TASKS)
            .map(|task| Reader {
                places: Places::new(task, blocks),
                block: 0,
                left: share(reads, task),
                buffer: Box::new(Block::new()),
            })
            .collect();
        // After the buffers, so that it goes before them.
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let mut in_flight = 0;
        let start = Instant::now();
        for (slot, reader) in readers.iter_mut().enumerate() {
            if let Some(entry) = reader.next(fd) {
                // SAFETY: a reader has one read in flight, into its own box.
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
                    // SAFETY: as above; the read before has just completed.
                    Some(entry) => unsafe { push(&mut ring, slot, entry)? },
                    None => in_flight -= 1,
                }
            }
        }
        Ok(start.elapsed())
    }

    fn small_files(&self, tree: &Tree, files: u64) -> Result<Duration, String> {
        let mut visits: Vec<Visit> = (0..TASKS as u64).map(Visit::new).collect();
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let mut in_flight = 0;
        let start = Instant::now();
        for (slot, visit) in visits.iter_mut().enumerate() {
            if let Some(entry) = visit.open(tree, files)? {
                // SAFETY: a visit has one operation in flight, on what it holds in boxes.
                unsafe { push(&mut ring, slot, entry)? };
                in_flight += 1;
            }
        }
        while in_flight > 0 {
            wait(&mut ring, &mut done)?;
            for (slot, result) in done.drain(..) {
                match visits[slot].next(number(result)?, tree, files)? {
                    // SAFETY: as above; the operation before has just completed.
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
        let mut pieces: Vec<Piece> = (0..COPY_SLOTS).map(|_| Piece::new()).collect();
        let mut ring = ring()?;
        let mut done = Vec::with_capacity(TASKS);
        let (mut next, mut in_flight) = (0, 0);
        for (slot, piece) in pieces.iter_mut().enumerate() {
            if let Some(entry) = piece.read(source, &mut next, meta.len()) {
                // SAFETY: a piece has one operation in flight, on its own buffer.
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
                    // SAFETY: as above; the operation before has just completed.
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

/// Pieces of a copy under way; more of them leave the processor's cache.
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

    /// Takes what comes next of the file, if anything is left.
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

    /// What follows on a completion.
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
                // SAFETY: zeroed at first, then filled in by the operation that has completed.
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
