//! The error of a transfer that ended early: the reason, and where its bytes are.

use std::fmt;
use std::io;

/// The two sides of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The side that the bytes come from.
    Source,
    /// The side that they go to.
    Sink,
}

/// A failure before the number of delivered bytes is known.
pub(super) struct Failure {
    side: Side,
    error: io::Error,
    undelivered: Vec<u8>,
}

impl Failure {
    pub(super) fn of(side: Side, error: io::Error) -> Failure {
        Failure { side, error, undelivered: Vec::new() }
    }

    pub(super) fn of_source(error: io::Error) -> Failure {
        Failure::of(Side::Source, error)
    }

    pub(super) fn of_sink(error: io::Error) -> Failure {
        Failure::of(Side::Sink, error)
    }

    /// Adds the bytes that have left the source and not reached the sink.
    pub(super) fn with(self, undelivered: Vec<u8>) -> Failure {
        Failure { undelivered, ..self }
    }

    pub(super) fn after(self, delivered: u64) -> TransferError {
        let Failure { side, error, undelivered } = self;
        TransferError { side, error, delivered, undelivered }
    }
}

/// The error of a [`transfer`](super::transfer) that ended before its source did: the reason, and
/// where the bytes are.
///
/// `?` converts it into the plain [`io::Error`].
///
/// ```
/// use std::{io::{ErrorKind, Read, Write}, time::Duration};
/// use overlapped::{io::{pipe, transfer}, time::timeout};
/// overlapped::run(|| {
///     let (from, mut feed) = pipe().unwrap();
///     let (mut end, to) = pipe().unwrap();
///     feed.write_all(b"half").unwrap();
///     let error = timeout(Duration::from_millis(5), || transfer(&from, &to)).unwrap_err();
///     assert_eq!(error.kind(), ErrorKind::TimedOut);
///     assert_eq!((error.delivered(), error.undelivered()), (4, &[][..]));
/// }).unwrap();
/// ```
#[derive(Debug)]
pub struct TransferError {
    side: Side,
    error: io::Error,
    delivered: u64,
    undelivered: Vec<u8>,
}

impl TransferError {
    /// Returns the side that failed, or was waited for.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Returns the kind of the error.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// Returns the number of bytes that the sink has.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// Returns the bytes that follow: the source does not have them any more, and the sink does not
    /// have them yet. Empty if the source is a file: its cursor is right after the delivered bytes.
    pub fn undelivered(&self) -> &[u8] {
        &self.undelivered
    }
}

impl fmt::Display for TransferError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Source => "source",
            Side::Sink => "sink",
        };
        write!(f, "the {side} of a transfer, after {} bytes: {}", self.delivered, self.error)
    }
}

impl std::error::Error for TransferError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl From<TransferError> for io::Error {
    fn from(error: TransferError) -> io::Error {
        error.error
    }
}
