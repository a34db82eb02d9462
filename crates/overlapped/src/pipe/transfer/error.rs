//! Why a transfer ended early, and where its bytes are.

use std::fmt;
use std::io;

/// The two sides of a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where the bytes come from.
    Source,
    /// Where they go.
    Sink,
}

/// A failure on its way up.
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

    /// Where this has left the source and not reached the sink.
    pub(super) fn with(self, undelivered: Vec<u8>) -> Failure {
        Failure { undelivered, ..self }
    }

    pub(super) fn after(self, delivered: u64) -> TransferError {
        let Failure { side, error, undelivered } = self;
        TransferError { side, error, delivered, undelivered }
    }
}

/// Why a [`transfer`](super::transfer) ended before its source did, and where the bytes are.
///
/// It turns into the plain [`io::Error`] by `?`.
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
    /// Which side failed, or was waited for.
    pub fn side(&self) -> Side {
        self.side
    }

    /// What kind of error it is.
    pub fn kind(&self) -> io::ErrorKind {
        self.error.kind()
    }

    /// How many bytes the sink has.
    pub fn delivered(&self) -> u64 {
        self.delivered
    }

    /// The bytes that follow: the source does not have them any more, and the sink does not have
    /// them yet. Empty where the source is a file, whose cursor stands behind what was delivered.
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
