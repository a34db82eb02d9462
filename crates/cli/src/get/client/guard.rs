//! Detects connections that were cut off, and idle connections that were already closed.

use std::fmt;
use std::io::{self, ErrorKind};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// A connection that remembers its requests.
///
/// A body without a stated length ends with the connection. ureq takes a reset, and an end of TLS
/// without close_notify, for such an end, so that a truncated body looks complete. Here both stay
/// errors.
///
/// The server may close an idle connection just when the next request is on its way. Then no byte
/// of a response arrives, and the error is [`Stale`]: the request is repeated on another
/// connection, which does not count as an attempt.
#[derive(Debug)]
pub(super) struct GuardedStream {
    stream: Box<dyn Transport>,
    /// The number of earlier requests.
    earlier: usize,
    /// True if a response has begun since the last request.
    is_answered: bool,
}

/// The error of an idle connection that was already closed.
#[derive(Debug)]
pub(super) struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server closed the idle connection")
    }
}

impl std::error::Error for Stale {}

impl Stale {
    pub(super) fn is(error: &Error) -> bool {
        let Error::Io(error) = error else { return false };
        error.get_ref().is_some_and(|inner| inner.is::<Stale>())
    }
}

impl GuardedStream {
    pub(super) fn new(stream: Box<dyn Transport>) -> GuardedStream {
        GuardedStream { stream, earlier: 0, is_answered: false }
    }

    fn is_reused(&self) -> bool {
        self.earlier > 0 && !self.is_answered
    }

    /// Tells whether the response begins with a TLS record: an alert, in answer to plain HTTP.
    fn is_answered_in_tls(&mut self) -> bool {
        matches!(self.stream.buffers().input(), [21 | 22, 3, ..])
    }

    fn explain(&self, error: Error) -> Error {
        let Error::Io(error) = error else { return error };
        let is_cut = matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionAborted
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
        );
        Error::Io(match is_cut {
            true if self.is_reused() => io::Error::other(Stale),
            true => io::Error::new(ErrorKind::BrokenPipe, format!("connection lost: {error}")),
            false => error,
        })
    }
}

impl Transport for GuardedStream {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.stream.buffers()
    }

    fn transmit_output(&mut self, amount: usize, limit: NextTimeout) -> Result<(), Error> {
        if self.is_answered {
            self.earlier += 1;
            self.is_answered = false;
        }
        self.stream.transmit_output(amount, limit).map_err(|error| self.explain(error))
    }

    fn await_input(&mut self, limit: NextTimeout) -> Result<bool, Error> {
        match self.stream.await_input(limit) {
            Ok(false) if self.is_reused() => Err(Error::Io(io::Error::other(Stale))),
            Ok(true) if !self.is_answered && self.is_answered_in_tls() => {
                let text = "this port uses TLS: write https:// instead of http://";
                Err(Error::Io(io::Error::new(ErrorKind::InvalidData, text)))
            }
            Ok(has_come) => {
                self.is_answered |= has_come;
                Ok(has_come)
            }
            Err(error) => Err(self.explain(error)),
        }
    }

    fn is_open(&mut self) -> bool {
        self.stream.is_open()
    }

    fn is_tls(&self) -> bool {
        self.stream.is_tls()
    }
}
