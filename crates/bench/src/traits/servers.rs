//! Servers of HTTP, of TLS, and of framed messages.

use crate::error::ABSENT;
use std::path::Path;

/// A library with servers. Each method prints its port and serves until its process is killed.
pub(crate) trait Servers {
    /// Serves the files of a folder over HTTP/1.1.
    fn http(&self, _folder: &Path) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// Serves HTTP over TLS 1.3, by the certificate and the key in a folder. Every answer is
    /// [`GREETING`].
    fn tls(&self, _folder: &Path) -> Result<(), String> {
        Err(ABSENT.into())
    }

    /// Answers messages.
    fn framed(&self, _framing: Framing) -> Result<(), String> {
        Err(ABSENT.into())
    }
}

/// The body of every answer of HTTP over TLS.
pub(crate) const GREETING: &str = "Hello, world!\n";

/// The boundary between messages. The answer to a message is its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// A decimal number and a line feed, then that many bytes; answered with the bytes.
    Length,
    /// Everything up to a line feed; answered with the line.
    Line,
}
