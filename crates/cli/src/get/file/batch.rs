//! Bytes on their way to the disk, many small reads for one write.
//!
//! A write to a file costs a visit to another thread, or to the kernel's own, whatever its size.
//! What waits here is written when there is enough of it, when it has waited for a second, and when
//! the download ends in any way: a kill unwinds through [`Batch::drop`]. Only a killed process
//! loses it.

use std::io;

use overlapped::time::{Duration, Instant};

use super::sink::Sink;

/// Bytes of one write.
const WRITE: usize = 256 << 10;
/// Bytes do not wait longer, unless no further ones come.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Batch<'a> {
    sink: &'a mut Sink,
    buffer: Vec<u8>,
    filled: usize,
    since: Instant,
}

impl<'a> Batch<'a> {
    /// A batch for `rest` further bytes.
    pub(crate) fn new(sink: &'a mut Sink, rest: Option<u64>) -> Batch<'a> {
        let rest = rest.and_then(|rest| usize::try_from(rest).ok()).unwrap_or(WRITE);
        let buffer = vec![0; rest.clamp(1, WRITE)];
        Batch { sink, buffer, filled: 0, since: Instant::now() }
    }

    /// Gives the place for the next bytes, `most` at most.
    pub(crate) fn room(&mut self, most: usize) -> &mut [u8] {
        let room = &mut self.buffer[self.filled..];
        let most = most.clamp(1, room.len());
        &mut room[..most]
    }

    /// Bytes of the file, with those that wait here.
    pub(crate) fn length(&self) -> u64 {
        self.sink.length() + self.filled as u64
    }

    /// Takes `count` bytes that are in the room now.
    pub(crate) fn advance(&mut self, count: usize) -> io::Result<&[u8]> {
        let begin = self.filled;
        self.filled += count;
        // Somebody may look at the other end of a pipe.
        let is_due = self.sink.is_stream() || self.since.elapsed() >= WAIT_MAX;
        if self.filled == self.buffer.len() || is_due {
            self.flush()?;
        }
        Ok(&self.buffer[begin..begin + count])
    }

    /// Writes what waits.
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
