//! Connections that tell being cut from coming to an end, and a dead one from a failed request.

use std::fmt;
use std::io::{self, ErrorKind};

use ureq::Error;
use ureq::unversioned::transport::{Buffers, NextTimeout, Transport};

/// A connection with a memory of its requests.
///
/// A body whose length nobody has said ends with the connection. ureq takes a reset for such an
/// end, and an end of TLS without its close_notify, so that what was cut looks complete. Here both
/// stay errors.
///
/// A connection that was kept may have been closed by the server just when the next request was on
/// its way. Then no byte of a response comes, and the error is [`Stale`]: the request is repeated
/// on another connection, which is no attempt of its own.
#[derive(Debug)]
pub(super) struct Watched {
    stream: Box<dyn Transport>,
    /// Requests before this one.
    earlier: usize,
    /// Tells whether something has come since the last request went out.
    is_answered: bool,
}

/// A kept connection was dead.
#[derive(Debug)]
pub(super) struct Stale;

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server has closed the connection that it had kept open")
    }
}

impl std::error::Error for Stale {}

impl Stale {
    pub(super) fn is(error: &Error) -> bool {
        let Error::Io(error) = error else { return false };
        error.get_ref().is_some_and(|inner| inner.is::<Stale>())
    }
}

impl Watched {
    pub(super) fn new(stream: Box<dyn Transport>) -> Watched {
        Watched { stream, earlier: 0, is_answered: false }
    }

    fn is_reused(&self) -> bool {
        self.earlier > 0 && !self.is_answered
    }

    /// Tells whether what comes begins with a record of TLS: an alert, in answer to plain HTTP.
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
            true => io::Error::new(ErrorKind::BrokenPipe, format!("cut off: {error}")),
            false => error,
        })
    }
}

impl Transport for Watched {
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
                let text = "this port speaks TLS: write https:// instead of http://";
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
