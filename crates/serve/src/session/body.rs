//! A request's body, as whoever answers reads it.
//!
//! The request borrows from the input, so what came behind its head is copied into a buffer of the
//! body's own, which becomes the input when the body has ended. Replies to earlier requests that
//! still wait (`owed`) are sent before the body is waited for: the client may want to see them
//! before it goes on.

use std::io::{self, ErrorKind, Read};

use overlapped_wire::{BodyDecoder, Malformed};

use super::Pace;
use super::input::Input;
use crate::Connection;
use crate::stream::is_late;

/// A body.
pub(super) struct Body<'c> {
    connection: &'c Connection,
    decoder: Box<dyn BodyDecoder>,
    input: Input,
    /// Bytes at the input's beginning that are the body's.
    data: usize,
    /// Bytes of framing behind those.
    framing: usize,
    state: State,
    invited: bool,
    owed: Vec<u8>,
    pace: Pace,
}

/// How far a body has got.
#[derive(Debug)]
pub(super) enum State {
    Open,
    /// Its last piece has been found.
    Ended,
    Malformed(Malformed),
    /// The client has not sent it in time.
    Late,
    /// The connection failed, or ended in the middle.
    Failed,
}

impl<'c> Body<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        decoder: Box<dyn BodyDecoder>,
        come: &[u8],
        owed: Vec<u8>,
    ) -> Body<'c> {
        Body {
            connection,
            decoder,
            input: Input::with(come),
            data: 0,
            framing: 0,
            state: State::Open,
            invited: false,
            owed,
            pace: Pace::of_sender(&connection.venue().limits),
        }
    }

    /// What came behind it.
    pub(super) fn into_input(self) -> Input {
        self.input
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// Replies that still wait.
    pub(super) fn owed(&mut self) -> &mut Vec<u8> {
        &mut self.owed
    }

    /// Throws the rest away, as far as it has come. Whether that was all.
    pub(super) fn skip_what_has_come(&mut self) -> bool {
        while let Ok(true) = self.find() {
            self.take(self.data);
        }
        matches!(self.state, State::Ended)
    }

    /// Throws the rest away, `most` bytes at most. Whether that was all.
    pub(super) fn skip(&mut self, most: u64) -> bool {
        if !self.invited && self.decoder.interim_response().is_some() {
            // The client waits for a word before it sends the body. Now it may send that, or its
            // next request: nobody knows.
            return false;
        }
        let mut scrap = [0; 512];
        let mut skipped = 0;
        while skipped <= most {
            match self.read(&mut scrap) {
                Ok(0) => return true,
                Ok(read) => skipped += read as u64,
                Err(_) => return false,
            }
        }
        false
    }

    /// Finds the next bytes of the body in what has come; false where more must come, or where
    /// there are no more.
    fn find(&mut self) -> io::Result<bool> {
        while self.data == 0 {
            self.input.consume(std::mem::take(&mut self.framing));
            match &self.state {
                State::Open => {}
                State::Ended => return Ok(false),
                State::Malformed(malformed) => {
                    return Err(io::Error::new(ErrorKind::InvalidData, malformed.to_string()));
                }
                State::Late => return Err(ErrorKind::TimedOut.into()),
                State::Failed => return Err(ErrorKind::UnexpectedEof.into()),
            }
            match self.decoder.decode(self.input.bytes()) {
                Ok(piece) => {
                    self.input.consume(piece.data.start);
                    self.data = piece.data.len();
                    self.framing = piece.taken - piece.data.end;
                    if piece.end {
                        self.state = State::Ended;
                    } else if piece.taken == 0 {
                        return Ok(false);
                    }
                }
                Err(malformed) => self.state = State::Malformed(malformed),
            }
        }
        Ok(true)
    }

    fn take(&mut self, bytes: usize) {
        self.input.consume(bytes);
        self.data -= bytes;
    }

    /// Waits for more.
    fn fill(&mut self) -> io::Result<()> {
        let filled = self.receive();
        if let Err(error) = &filled {
            self.state = if is_late(error) { State::Late } else { State::Failed };
        }
        filled
    }

    fn receive(&mut self) -> io::Result<()> {
        let limits = &self.connection.venue().limits;
        if !std::mem::replace(&mut self.invited, true)
            && let Some(interim) = self.decoder.interim_response()
        {
            self.owed.extend_from_slice(interim);
        }
        if !self.owed.is_empty() {
            self.connection.send(&self.owed, &mut Pace::of_reader(limits))?;
            self.owed.clear();
        }
        if self.input.len() >= limits.request_bytes {
            return Err(io::Error::other("a piece of a body is longer than the limit"));
        }
        let space = self.input.space(limits.request_bytes);
        let read = self.connection.receive_at_pace(space, &mut self.pace)?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.input.filled(read);
        Ok(())
    }
}

impl Read for Body<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut given = 0;
        while given < buf.len() {
            if self.find()? {
                let count = self.data.min(buf.len() - given);
                buf[given..given + count].copy_from_slice(&self.input.bytes()[..count]);
                self.take(count);
                given += count;
            } else if given > 0 || matches!(self.state, State::Ended) {
                break;
            } else {
                self.fill()?;
            }
        }
        Ok(given)
    }
}
