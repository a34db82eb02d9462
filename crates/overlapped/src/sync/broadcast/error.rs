//! The error of a receive.

use std::error::Error;
use std::fmt;

/// The reason why no value was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// The receiver was too slow and has missed this number of values, which have made room for
    /// newer ones. The next call returns the oldest that is still there.
    Lagged(u64),
    /// All senders are gone, and all values received.
    Closed,
    /// The time limit, or the deadline set by [`timeout`](crate::time::timeout), passed first.
    TimedOut,
    /// No value has come yet, and the caller does not want to wait, or may not.
    WouldBlock,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RecvError::Lagged(missed) => write!(f, "the receiver has missed {missed} values"),
            RecvError::Closed => f.write_str("receiving on a channel without a sender"),
            RecvError::TimedOut => f.write_str("the deadline passed before anything was sent"),
            RecvError::WouldBlock => {
                f.write_str("nothing has been sent, and the caller may not wait")
            }
        }
    }
}

impl Error for RecvError {}
