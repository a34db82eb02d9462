//! Transfers through memory, for descriptors that splice(2) cannot move bytes between.

use std::io;
use std::os::fd::AsRawFd;

use super::{End, Failure, Files, Side, Transfer, with_cursors};
use crate::descriptor;
use crate::op::{Fs, Net, Op, clamp};
use crate::sys::splice;
use crate::sys::splice::Kind;
use crate::task::wait::{perform, perform_now};
use crate::task::{cooperative_yield, unblock_to_end};
use crate::time::deadline_in;

/// The first size of the buffer, which is small because many buffers may wait for silent sources.
const SIZE: usize = 8 << 10;

/// The size to which it grows if the source fills it.
const SIZE_MAX: usize = 64 << 10;

/// The number of bytes that a pool thread reads and writes between files at a time.
const PART: usize = 256 << 10;

/// A buffer whose bytes `start..end` are in transit. When it is dropped, they go back to the source
/// or on to the sink.
struct Buffer<'a> {
    memory: Vec<u8>,
    start: usize,
    end: usize,
    from: End<'a>,
    to: End<'a>,
}

impl Buffer<'_> {
    fn read(&mut self, most: usize) -> io::Result<usize> {
        let from = self.from;
        let read = with_cursors([&from], || self.read_once(most))?;
        (self.start, self.end) = (0, read);
        Ok(read)
    }

    fn read_once(&mut self, most: usize) -> io::Result<usize> {
        let room = self.memory.len().min(most);
        if self.from.is_file()
            && let Ok(read) = splice::read_cached(self.from.fd, &mut self.memory[..room])
        {
            return Ok(read);
        }
        let (fd, buf, len) = (self.from.fd.as_raw_fd(), self.memory.as_mut_ptr(), clamp(room));
        let op = match self.from.kind {
            Kind::Socket | Kind::BlockingSocket => {
                Op::Net(Net::Recv { fd, buf, len, peek: false, nonblocking: false })
            }
            _ => Op::Fs(Fs::Read { fd, buf, len, offset: None }),
        };
        // SAFETY: descriptor and buffer are borrowed until `perform` returns, and `len` is not more
        // than the buffer has.
        unsafe { perform(&op, self.from.limit.map(deadline_in)) }
    }

    fn sink_is_socket(&self) -> bool {
        matches!(self.to.kind, Kind::Socket | Kind::BlockingSocket)
    }

    fn write_op(&self) -> Op {
        let bytes = &self.memory[self.start..self.end];
        let (fd, buf, len) = (self.to.fd.as_raw_fd(), bytes.as_ptr(), clamp(bytes.len()));
        match self.sink_is_socket() {
            true => Op::Net(Net::Send { fd, buf, len, nonblocking: false }),
            false => Op::Fs(Fs::Write { fd, buf, len, offset: None }),
        }
    }

    fn write(&mut self) -> io::Result<usize> {
        let (op, until) = (self.write_op(), self.to.limit.map(deadline_in));
        // SAFETY: as in `read_once`; the buffer is only read from.
        let write = || unsafe {
            match self.sink_is_socket() {
                true => descriptor::send(self.to.fd, &op, until),
                false => perform(&op, until),
            }
        };
        let written = with_cursors([&self.to], write)?;
        self.start += written;
        Ok(written)
    }

    /// Empties the buffer, as `PipeBuffer::empty`.
    fn empty(&mut self) -> (usize, Vec<u8>) {
        let held = self.end - self.start;
        if held == 0 || self.from.is_file() && splice::seek_back(self.from.fd, held).is_ok() {
            self.start = self.end;
            return (0, Vec::new());
        }
        let before = self.start;
        while self.start < self.end {
            // SAFETY: as in `write`; this does not wait.
            match unsafe { perform_now(&self.write_op()) } {
                Ok(written @ 1..) => self.start += written,
                _ => break,
            }
        }
        let rest = self.memory[self.start..self.end].to_vec();
        let went_on = self.start - before;
        self.start = self.end;
        (went_on, rest)
    }
}

impl Drop for Buffer<'_> {
    /// Runs with bytes in the buffer if a kill unwinds the tasklet.
    fn drop(&mut self) {
        let _lost = self.empty();
    }
}

impl Transfer<'_> {
    /// Moves the bytes through memory. `bytes` have left the source already.
    pub(super) fn by_buffer(&mut self, bytes: Vec<u8>) -> Result<(), Failure> {
        let end = bytes.len();
        let mut buffer = Buffer { memory: bytes, start: 0, end, from: self.from, to: self.to };
        let ended = self.copy_through(&mut buffer);
        let (went_on, rest) = buffer.empty();
        self.count(went_on);
        ended.map_err(|failure| failure.with(rest))
    }

    fn copy_through(&mut self, buffer: &mut Buffer<'_>) -> Result<(), Failure> {
        let known = if self.from.is_file() { splice::left(self.from.fd).unwrap_or(0) } else { 0 };
        let mut size = usize::try_from(known).unwrap_or(SIZE_MAX).clamp(SIZE, SIZE_MAX);
        loop {
            while buffer.start < buffer.end {
                match buffer.write().map_err(Failure::of_sink)? {
                    0 => return Err(Failure::of_sink(io::ErrorKind::WriteZero.into())),
                    written => self.count(written),
                }
            }
            if self.left == 0 {
                return Ok(());
            }
            buffer.memory.resize(size, 0);
            let read = buffer.read(self.part(size)).map_err(Failure::of_source)?;
            if read == 0 {
                return Ok(());
            }
            if read == size {
                size = (2 * size).min(SIZE_MAX);
            }
        }
    }

    /// Copies between files: a pool thread reads and writes.
    pub(super) fn by_copying(&mut self) -> Result<(), Failure> {
        let mut files = self.duplicates()?;
        let mut memory = vec![0; self.part(PART)];
        while self.left > 0 {
            cooperative_yield().map_err(Failure::of_source)?;
            let part = self.part(PART);
            let copied;
            (files, memory, copied) = match with_cursors([&self.from, &self.to], || {
                Ok(unblock_to_end(move || {
                    let copied = copy_once(&files, &mut memory[..part]);
                    (files, memory, copied)
                }))
            }) {
                Ok(done) => done,
                Err(error) => return Err(Failure::of_source(error)),
            };
            let (written, result) = copied;
            self.count(written);
            match result {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err((side, error)) => return Err(Failure::of(side, error)),
            }
        }
        Ok(())
    }
}

/// Copies once. Returns the number of bytes written, and the number read or the side that failed.
fn copy_once(files: &Files, memory: &mut [u8]) -> (usize, Result<usize, (Side, io::Error)>) {
    let read = match splice::read(&files.from, memory) {
        Ok(read) => read,
        Err(error) => return (0, Err((Side::Source, error))),
    };
    let (written, result) = splice::write_all(&files.to, &memory[..read]);
    if let Err(error) = result {
        use std::os::fd::AsFd;
        let _ = splice::seek_back(files.from.as_fd(), read - written);
        return (written, Err((Side::Sink, error)));
    }
    (written, Ok(read))
}
