//! The parts of a reply: files, readers, endless streams.

use std::io::{self, Read};

use overlapped_wire::Part;

use super::file;
use super::output::Output;
use crate::session::buffers::{FULL, WriteBuffer};
use crate::session::{Connection, End};
use crate::state::MinimumRate;
use crate::stream::uninterrupted;

/// The number of bytes that a reader is asked for at a time.
const PIECE: usize = 16 << 10;

/// Resolves the parts of the reply in `buffer`: turns small ones into bytes, and sends large ones.
pub(crate) fn send_parts(connection: &Connection, buffer: &mut WriteBuffer) -> Result<(), End> {
    if buffer.reply.parts().is_empty() {
        return Ok(());
    }
    let limits = &connection.context().limits;
    let output =
        Output { connection, ready: &mut buffer.ready, rate: MinimumRate::of_reader(limits) };
    let limit = limits.reply_bytes.unwrap_or(u64::MAX);
    let mut sender = PartSender { output, bytes: 0, limit };
    let (bytes, parts) = buffer.reply.split();
    let mut done = 0;
    for (at, part) in parts {
        sender.output.ready.extend_from_slice(&bytes[done..at]);
        done = at;
        sender.send(part)?;
    }
    buffer.ready.extend_from_slice(&bytes[done..]);
    buffer.clear_reply();
    Ok(())
}

/// The sender of one reply's parts.
struct PartSender<'a> {
    output: Output<'a>,
    /// Bytes of parts so far.
    bytes: u64,
    limit: u64,
}

impl PartSender<'_> {
    fn send(&mut self, part: Part) -> Result<(), End> {
        match part {
            Part::File { file, offset, len } => {
                self.count(len)?;
                file::send(&mut self.output, &file, offset, len)
            }
            Part::Reader { reader, len } => self.send_reader(reader, len),
            Part::Endless(reader) => self.send_endless(reader),
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), End> {
        self.bytes += bytes;
        if self.bytes > self.limit {
            return Err(End::broken_reply(io::Error::other("the reply is longer than the limit")));
        }
        Ok(())
    }

    fn send_reader(&mut self, mut reader: Box<dyn Read>, len: Option<u64>) -> Result<(), End> {
        let mut left = len.unwrap_or(u64::MAX);
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let read = self.read_piece(&mut reader, wanted)?;
            if read == 0 {
                return match len {
                    None => Ok(()),
                    Some(_) => {
                        let error = io::Error::other("a reader ended before its length");
                        Err(End::broken_reply(error))
                    }
                };
            }
            left -= read as u64;
            self.count(read as u64)?;
            // After a short read the next one probably waits. The client should not wait with it.
            if self.output.ready.len() >= FULL || read < wanted && left > 0 {
                self.output.flush()?;
            }
        }
        Ok(())
    }

    fn send_endless(&mut self, mut reader: Box<dyn Read>) -> Result<(), End> {
        loop {
            let read = self.read_piece(&mut reader, PIECE)?;
            if read == 0 || self.output.connection.is_stopping() {
                return Ok(());
            }
            self.bytes += read as u64;
            self.output.rate.restart();
            self.output.flush()?;
        }
    }

    /// Reads at most `max` bytes and appends them to the ready ones. Returns their number.
    fn read_piece(&mut self, reader: &mut dyn Read, max: usize) -> Result<usize, End> {
        let ready = &mut *self.output.ready;
        let at = ready.len();
        ready.resize(at + max, 0);
        let read = uninterrupted(|| reader.read(&mut ready[at..]));
        ready.truncate(at + *read.as_ref().unwrap_or(&0));
        read.map_err(End::broken_reply)
    }
}
