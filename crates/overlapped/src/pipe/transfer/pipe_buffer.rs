//! A pipe of this process as the buffer between two descriptors: one splice fills it, others drain
//! it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::splice_step::{Step, splice_step, wait_for};
use super::{End, Ended, Failure, Side, Transfer};
use crate::sys::splice;
use crate::task::cooperative_yield;

/// The number of bytes that a pipe holds by default (pipe(7)).
const SIZE: usize = 64 << 10;

/// The size to which the pipe grows if the source fills it: the maximum for any process by default.
/// Between two sockets on the loopback this halves the processor time.
const SIZE_MAX: usize = 1 << 20;

/// A pipe that holds bytes in transit. When it is dropped, they go back to the source or on to the
/// sink.
struct PipeBuffer<'a> {
    reader: OwnedFd,
    writer: OwnedFd,
    size: usize,
    held: usize,
    from: End<'a>,
    to: End<'a>,
}

impl<'a> PipeBuffer<'a> {
    fn open(from: End<'a>, to: End<'a>) -> io::Result<PipeBuffer<'a>> {
        let (reader, writer) = splice::channel()?;
        Ok(PipeBuffer { reader, writer, size: SIZE, held: 0, from, to })
    }

    fn grow(&mut self, size: usize) {
        self.size = splice::enlarge(self.writer.as_fd(), size).unwrap_or(self.size);
    }

    fn fill(&self, most: usize) -> Result<Step, Failure> {
        splice_step(&self.from, &End::of_pipe_buffer(self.writer.as_fd()), most)
    }

    fn drain(&self) -> Result<Step, Failure> {
        splice_step(&End::of_pipe_buffer(self.reader.as_fd()), &self.to, self.held)
    }

    /// Empties the pipe: back into a source that is a file, else on to the sink, as far as that
    /// goes without waiting for another process. A sink that is a file takes everything. Returns
    /// the number of bytes that went on, and the bytes that are left.
    fn empty(&mut self) -> (usize, Vec<u8>) {
        if self.held == 0 {
            return (0, Vec::new());
        }
        if self.from.is_file() && splice::seek_back(self.from.fd, self.held).is_ok() {
            self.held = 0;
            return (0, Vec::new());
        }
        let mut went_on = 0;
        while self.held > 0
            && let Ok(moved @ 1..) = splice::splice_now(&self.reader, self.to.fd, self.held)
        {
            self.held -= moved;
            went_on += moved;
        }
        let mut rest = splice::take(self.reader.as_fd(), std::mem::take(&mut self.held));
        if self.to.is_file() {
            // A file that splice(2) does not write to: it is opened to append.
            let (written, _) = splice::write_all(self.to.fd, &rest);
            went_on += written;
            rest.drain(..written);
        }
        (went_on, rest)
    }
}

impl Drop for PipeBuffer<'_> {
    /// Runs with bytes in the pipe if a kill unwinds the tasklet.
    fn drop(&mut self) {
        let _lost = self.empty();
    }
}

impl Transfer<'_> {
    pub(super) fn by_pipe_buffer(&mut self) -> Result<Ended, Failure> {
        let mut buffer = PipeBuffer::open(self.from, self.to).map_err(Failure::of_source)?;
        if self.from.is_file() {
            buffer.grow(SIZE_MAX);
        }
        let ended = self.splice_through(&mut buffer);
        let (went_on, rest) = buffer.empty();
        self.count(went_on);
        match ended {
            Ok(Ended::Unsupported(_)) => Ok(Ended::Unsupported(rest)),
            Ok(Ended::Complete) => Ok(Ended::Complete),
            Err(failure) => Err(failure.with(rest)),
        }
    }

    fn splice_through(&mut self, buffer: &mut PipeBuffer<'_>) -> Result<Ended, Failure> {
        while self.left > 0 {
            match buffer.fill(self.part(buffer.size))? {
                Step::Moved(0) => break,
                Step::Moved(moved) => buffer.held = moved,
                Step::Blocked => {
                    // The pipe is empty, so it is the source that was not ready.
                    wait_for(&self.from, Side::Source)?;
                    continue;
                }
                Step::Unsupported => return Ok(Ended::UNSUPPORTED),
            }
            let is_filled = buffer.held == buffer.size;
            while buffer.held > 0 {
                match buffer.drain()? {
                    Step::Moved(0) => {
                        return Err(Failure::of_sink(io::ErrorKind::WriteZero.into()));
                    }
                    Step::Moved(moved) => {
                        buffer.held -= moved;
                        self.count(moved);
                    }
                    Step::Blocked => wait_for(&self.to, Side::Sink)?,
                    Step::Unsupported => return Ok(Ended::UNSUPPORTED),
                }
            }
            if is_filled && buffer.size < SIZE_MAX {
                buffer.grow(SIZE_MAX);
            }
            cooperative_yield().map_err(Failure::of_source)?;
        }
        Ok(Ended::Complete)
    }
}
