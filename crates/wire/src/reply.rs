//! A reply: bytes, and the parts that are sent between them.
//!
//! Bytes are appended to the driver's buffer, which the replies to pipelined requests share. Every
//! other part records its position in that buffer. So small replies cost no allocation, and many of
//! them cost one write.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// The contents of a reply, in the order of sending. Bytes are added with [`Write`], which never
/// fails; other parts are added by the methods here.
///
/// ```
/// use std::io::Write;
/// use overlapped_wire::Reply;
///
/// let mut reply = Reply::default();
/// write!(reply, "{} bytes follow\n", 3)?;
/// reply.reader(std::io::repeat(b'!'), 3);
/// assert_eq!(reply.bytes(), b"3 bytes follow\n");
/// assert_eq!(reply.parts()[0].0, 15);
/// # std::io::Result::Ok(())
/// ```
#[derive(Default)]
pub struct Reply {
    bytes: Vec<u8>,
    parts: Vec<(usize, Part)>,
}

/// A part of a reply that is not in its byte buffer.
pub enum Part {
    /// A range of a file. If the file turns out to be shorter, the connection is closed: the
    /// announced length cannot be sent.
    File {
        /// The file.
        file: Arc<File>,
        /// The position of the range's first byte.
        offset: u64,
        /// The number of bytes.
        len: u64,
    },
    /// The bytes of a reader: `len` of them, or all until its end. An error, or an end before
    /// `len` bytes, closes the connection.
    Reader {
        /// The reader. It may block: only this connection waits.
        reader: Box<dyn Read>,
        /// The number of bytes, if it is known.
        len: Option<u64>,
    },
    /// The bytes of a reader, for as long as the client stays: without a limit on their number, and
    /// every read is sent at once.
    Endless(Box<dyn Read>),
}

impl Reply {
    /// Adds bytes.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a range of a file.
    pub fn file(&mut self, file: Arc<File>, offset: u64, len: u64) {
        self.part(Part::File { file, offset, len });
    }

    /// Adds `len` bytes of `reader`, or, with `None`, all bytes until its end.
    pub fn reader(&mut self, reader: impl Read + 'static, len: impl Into<Option<u64>>) {
        self.part(Part::Reader { reader: Box::new(reader), len: len.into() });
    }

    /// Adds the bytes of `reader` for as long as the client stays.
    pub fn endless(&mut self, reader: impl Read + 'static) {
        self.part(Part::Endless(Box::new(reader)));
    }

    /// Adds a part of any kind.
    pub fn part(&mut self, part: Part) {
        self.parts.push((self.bytes.len(), part));
    }

    /// The buffer to append to. Bytes that it already holds must stay.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// All bytes of the buffer, those before, between and after the parts.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The parts, each with the number of buffer bytes that precede it.
    pub fn parts(&self) -> &[(usize, Part)] {
        &self.parts
    }

    /// Returns the bytes and drains the parts, for sending. [Clear](Reply::clear) the reply
    /// afterwards.
    pub fn split(&mut self) -> (&[u8], std::vec::Drain<'_, (usize, Part)>) {
        (&self.bytes, self.parts.drain(..))
    }

    /// Removes everything that was added after the first `bytes` bytes and `parts` parts.
    pub fn truncate(&mut self, bytes: usize, parts: usize) {
        self.bytes.truncate(bytes);
        self.parts.truncate(parts);
    }

    /// Empties the reply, and keeps at most `capacity_max` bytes of memory for the buffer.
    pub fn clear(&mut self, capacity_max: usize) {
        self.bytes.clear();
        self.parts.clear();
        self.bytes.shrink_to(capacity_max);
    }

    /// Tells whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.parts.is_empty()
    }
}

impl Write for Reply {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(buf);
        Ok(buf.len())
    }

    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.bytes.extend_from_slice(buf);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Part::File { offset, len, .. } => write!(f, "File({len} bytes at {offset})"),
            Part::Reader { len: Some(len), .. } => write!(f, "Reader({len} bytes)"),
            Part::Reader { len: None, .. } => f.write_str("Reader"),
            Part::Endless(_) => f.write_str("Endless"),
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("bytes", &self.bytes.len())
            .field("parts", &self.parts)
            .finish()
    }
}
