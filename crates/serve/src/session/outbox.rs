//! Replies on their way out: collected, so that many go with one send.
//!
//! ```text
//!  ready   what goes next, in order     ┐ flush sends both
//!  reply   what protocols write to      ┘
//! ```
//!
//! As long as replies are nothing but bytes, they stay where the protocol wrote them. A reply with
//! other parts is *settled*: small files join the bytes around them in `ready`, everything else is
//! sent as it comes.

use std::io::{self, Read};

use overlapped_wire::{Part, Reply};

use super::{End, Pace, file};
use crate::Connection;
use crate::stream::is_late;

/// More than this is sent before the next request is answered.
pub(super) const FULL: usize = 64 << 10;
/// What a reader is asked for at a time.
const PIECE: usize = 16 << 10;

/// Buffers for replies. Sessions take one while they answer, and give it back: those who idle have
/// none.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    pub(super) ready: Vec<u8>,
    pub(super) reply: Reply,
}

impl Outbox {
    /// Empties it, and gives back what is unusually large.
    pub(crate) fn clear(&mut self) {
        self.ready.clear();
        self.ready.shrink_to(2 * FULL);
        self.reply.clear(2 * FULL);
    }

    /// Bytes that wait for being sent.
    pub(super) fn len(&self) -> usize {
        self.ready.len() + self.reply.bytes().len()
    }

    /// Everything that is held so far comes before what is written to `reply` from now on.
    pub(super) fn seal(&mut self) {
        self.ready.extend_from_slice(self.reply.bytes());
        self.reply.clear(2 * FULL);
    }

    /// Sends all.
    pub(super) fn flush(&mut self, connection: &Connection) -> Result<(), End> {
        let mut pace = Pace::of_reader(&connection.venue().limits);
        if !self.ready.is_empty() {
            self.seal();
            connection.send(&self.ready, &mut pace).map_err(stuck)?;
            self.ready.clear();
        } else if !self.reply.bytes().is_empty() {
            connection.send(self.reply.bytes(), &mut pace).map_err(stuck)?;
            self.reply.clear(2 * FULL);
        }
        Ok(())
    }

    /// Turns the parts of the reply into bytes, sending them where they are many.
    pub(super) fn settle(&mut self, connection: &Connection) -> Result<(), End> {
        if self.reply.parts().is_empty() {
            return Ok(());
        }
        let limits = &connection.venue().limits;
        let most = limits.reply_bytes.unwrap_or(u64::MAX);
        let mut out = Out {
            connection,
            ready: &mut self.ready,
            pace: Pace::of_reader(limits),
            parts: 0,
            most,
        };
        let (bytes, parts) = self.reply.split();
        let mut done = 0;
        for (at, part) in parts {
            out.ready.extend_from_slice(&bytes[done..at]);
            done = at;
            out.part(part)?;
        }
        self.ready.extend_from_slice(&bytes[done..]);
        self.reply.clear(2 * FULL);
        Ok(())
    }
}

/// Where parts go.
pub(super) struct Out<'a> {
    pub(super) connection: &'a Connection,
    pub(super) ready: &'a mut Vec<u8>,
    pub(super) pace: Pace,
    parts: u64,
    most: u64,
}

impl Out<'_> {
    fn part(&mut self, part: Part) -> Result<(), End> {
        match part {
            Part::File { file, offset, len } => {
                self.count(len)?;
                file::send(self, &file, offset, len)
            }
            Part::Reader { reader, len } => self.reader(reader, len),
            Part::Endless(reader) => self.endless(reader),
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), End> {
        self.parts += bytes;
        if self.parts > self.most {
            return Err(broken("the reply is longer than the limit"));
        }
        Ok(())
    }

    /// Sends what is ready.
    pub(super) fn flush(&mut self) -> Result<(), End> {
        self.connection.send(self.ready, &mut self.pace).map_err(stuck)?;
        self.ready.clear();
        Ok(())
    }

    fn reader(&mut self, mut reader: Box<dyn Read>, len: Option<u64>) -> Result<(), End> {
        let mut left = len.unwrap_or(u64::MAX);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
            let read = self.piece(&mut reader, most)?;
            if read == 0 {
                return match len {
                    None => Ok(()),
                    Some(_) => Err(broken("a reader ended before its length")),
                };
            }
            left -= read as u64;
            self.count(read as u64)?;
            // One that gives little at a time has to wait for it: the client need not.
            if self.ready.len() >= FULL || read < most && left > 0 {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn endless(&mut self, mut reader: Box<dyn Read>) -> Result<(), End> {
        loop {
            let read = self.piece(&mut reader, PIECE)?;
            if read == 0 || self.connection.is_stopping() {
                return Ok(());
            }
            self.parts += read as u64;
            self.pace.begin_piece();
            self.flush()?;
        }
    }

    /// Reads at most so many bytes into what is ready.
    fn piece(&mut self, reader: &mut dyn Read, most: usize) -> Result<usize, End> {
        let at = self.ready.len();
        self.ready.resize(at + most, 0);
        let read = loop {
            match reader.read(&mut self.ready[at..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.ready.truncate(at + *read.as_ref().unwrap_or(&0));
        read.map_err(End::broken)
    }
}

/// Why bytes could not be sent.
pub(super) fn stuck(error: io::Error) -> End {
    if is_late(&error) { End::Stuck } else { End::Failed(error) }
}

/// A reply that cannot be finished.
pub(super) fn broken(why: &'static str) -> End {
    End::broken(io::Error::other(why))
}
