//! Sending replies: bytes, files and readers.
//!
//! ```text
//! parts   resolves a reply's parts, in order
//! file    sends a part of a file: small ones read, large ones by sendfile(2)
//! output  sends the bytes that are ready
//! ```

mod file;
mod output;
mod parts;

pub(super) use output::flush;
pub(super) use parts::send_parts;
