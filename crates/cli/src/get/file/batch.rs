//! Bytes on their way to the disk: many small reads for one write.
//!
//! A write to a file costs a visit to another thread, or to the kernel's own, whatever its size.
//! Bytes are written when the buffer is full, after a second, and when the download ends in any
//! way: a kill unwinds through [`Batch::drop`]. Only a killed process loses them.

use std::io;

use overlapped::time::{Duration, Instant};

use super::sink::Sink;

/// The bytes of one write.
const WRITE: usize = 256 << 10;
/// The longest time that bytes wait, unless no further ones arrive.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// The bytes that wait to be written to a sink.
pub(crate) struct Batch<'a> {
    sink: &'a mut Sink,
    buffer: Vec<u8>,
    filled: usize,
    since: Instant,
}

impl<'a> Batch<'a> {
    /// Makes a batch for `rest` further bytes.
    pub(crate) fn new(sink: &'a mut Sink, rest: Option<u64>) -> Batch<'a> {
        let rest = rest.and_then(|rest| usize::try_from(rest).ok()).unwrap_or(WRITE);
        let buffer = vec![0; rest.clamp(1, WRITE)];
        Batch { sink, buffer, filled: 0, since: Instant::now() }
    }

    /// Returns the buffer for the next bytes, at most `most`.
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        let room = &mut self.buffer[self.filled..];
        let most = most.clamp(1, room.len());
        &mut room[..most]
    }

    /// Returns the length of the file, with the bytes that wait here.
    pub(crate) fn length(&self) -> u64 {
        self.sink.length() + self.filled as u64
    }

    /// Adds the `count` bytes that were read into the buffer.
    pub(crate) fn advance(&mut self, count: usize) -> io::Result<&[u8]> {
        let begin = self.filled;
        self.filled += count;
        // The reader of a pipe may wait for each byte.
        let is_due = self.sink.is_stream() || self.since.elapsed() >= WAIT_MAX;
        if self.filled == self.buffer.len() || is_due {
            self.flush()?;
        }
        Ok(&self.buffer[begin..begin + count])
    }

    /// Writes the waiting bytes.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        match std::mem::take(&mut self.filled) {
            0 => Ok(()),
            filled => self.sink.append(&self.buffer[..filled]),
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}
