//! A request's body, as its handler reads it.
//!
//! The request borrows from the session's read buffer. So the bytes behind its head are copied into
//! a buffer of the body, which becomes the session's when the body has ended. Replies to earlier
//! requests that still wait (`unsent`) are sent before the body is waited for: the client may want
//! to see them before it goes on.

use std::io::{self, ErrorKind, Read};

use overlapped_wire::{BodyDecoder, Malformed};

use super::Connection;
use super::buffers::ReadBuffer;
use crate::state::{MinimumRate, is_deadline};

/// The body of a request.
pub(super) struct Body<'c> {
    connection: &'c Connection,
    decoder: Box<dyn BodyDecoder>,
    buffer: ReadBuffer,
    /// Bytes at the buffer's beginning that belong to the body.
    data: usize,
    /// Bytes of framing behind those.
    framing: usize,
    progress: Progress,
    /// The client was told to send the body, or need not be told.
    invited: bool,
    /// Replies that must be sent before a wait.
    unsent: Vec<u8>,
    rate: MinimumRate,
}

/// The progress of a body.
#[derive(Debug)]
pub(super) enum Progress {
    Open,
    /// Its last piece was decoded.
    Complete,
    Malformed(Malformed),
    /// The client has not sent it in time.
    TimedOut,
    /// The connection failed, or ended in the middle.
    Failed,
}

impl<'c> Body<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        decoder: Box<dyn BodyDecoder>,
        received: &[u8],
        unsent: Vec<u8>,
    ) -> Body<'c> {
        Body {
            connection,
            decoder,
            buffer: ReadBuffer::from_bytes(received),
            data: 0,
            framing: 0,
            progress: Progress::Open,
            invited: false,
            unsent,
            rate: MinimumRate::of_sender(&connection.context().limits),
        }
    }

    /// Returns the bytes behind the body.
    pub(super) fn into_buffer(self) -> ReadBuffer {
        self.buffer
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Returns the replies that are still unsent.
    pub(super) fn unsent(&mut self) -> &mut Vec<u8> {
        &mut self.unsent
    }

    /// Discards what has arrived of the rest; returns whether that was all.
    pub(super) fn skip_received(&mut self) -> bool {
        while let Ok(true) = self.decode() {
            self.take(self.data);
        }
        matches!(self.progress, Progress::Complete)
    }

    /// Discards the rest, `max` bytes at most; returns whether that was all.
    pub(super) fn skip(&mut self, max: u64) -> bool {
        if !self.invited && self.decoder.interim_response().is_some() {
            // The client waits for `100 Continue` before it sends the body. After another answer
            // it may send the body or its next request, and the two cannot be told apart.
            return false;
        }
        let mut scrap = [0; 512];
        let mut skipped = 0;
        while skipped <= max {
            match self.read(&mut scrap) {
                Ok(0) => return true,
                Ok(read) => skipped += read as u64,
                Err(_) => return false,
            }
        }
        false
    }

    /// Decodes the next bytes of the body in the buffer; returns false if more must arrive, or if
    /// the body is complete.
    fn decode(&mut self) -> io::Result<bool> {
        while self.data == 0 {
            self.buffer.consume(std::mem::take(&mut self.framing));
            match &self.progress {
                Progress::Open => {}
                Progress::Complete => return Ok(false),
                Progress::Malformed(malformed) => {
                    return Err(io::Error::new(ErrorKind::InvalidData, malformed.to_string()));
                }
                Progress::TimedOut => return Err(ErrorKind::TimedOut.into()),
                Progress::Failed => return Err(ErrorKind::UnexpectedEof.into()),
            }
            match self.decoder.decode(self.buffer.bytes()) {
                Ok(piece) => {
                    self.buffer.consume(piece.data.start);
                    self.data = piece.data.len();
                    self.framing = piece.taken - piece.data.end;
                    if piece.end {
                        self.progress = Progress::Complete;
                    } else if piece.taken == 0 {
                        return Ok(false);
                    }
                }
                Err(malformed) => self.progress = Progress::Malformed(malformed),
            }
        }
        Ok(true)
    }

    fn take(&mut self, bytes: usize) {
        self.buffer.consume(bytes);
        self.data -= bytes;
    }

    /// Waits for more bytes.
    fn fill(&mut self) -> io::Result<()> {
        let filled = self.receive();
        if let Err(error) = &filled {
            self.progress = if is_deadline(error) { Progress::TimedOut } else { Progress::Failed };
        }
        filled
    }

    fn receive(&mut self) -> io::Result<()> {
        let limits = &self.connection.context().limits;
        if !std::mem::replace(&mut self.invited, true)
            && let Some(interim) = self.decoder.interim_response()
        {
            self.unsent.extend_from_slice(interim);
        }
        if !self.unsent.is_empty() {
            self.connection.send(&self.unsent, &mut MinimumRate::of_reader(limits))?;
            self.unsent.clear();
        }
        if self.buffer.len() >= limits.request_bytes {
            return Err(io::Error::other("a piece of the body is longer than the limit"));
        }
        let space = self.buffer.space(limits.request_bytes);
        let read = self.connection.receive_at_rate(space, &mut self.rate)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.buffer.fill(read);
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut given = 0;
        while given < buf.len() {
            if self.decode()? {
                let count = self.data.min(buf.len() - given);
                buf[given..given + count].copy_from_slice(&self.buffer.bytes()[..count]);
                self.take(count);
                given += count;
            } else if given > 0 || matches!(self.progress, Progress::Complete) {
                break;
            } else {
                self.fill()?;
            }
        }
        Ok(given)
    }
}
