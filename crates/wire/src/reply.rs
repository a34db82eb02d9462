//! A reply: bytes, and what is sent in between them.
//!
//! Bytes go straight into one buffer, the driver's, across the replies to pipelined requests; the
//! other parts remember where in the buffer they stand. So small replies cost no allocation, and
//! many of them one write.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;

/// What is sent, in order. Bytes are added with [`Write`], which never fails; everything else by
/// the methods here.
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

/// What stands between the bytes of a reply.
pub enum Part {
    /// So many bytes of a file, from an offset on. If the file is shorter by then, the connection
    /// is closed: what was promised cannot be kept.
    File {
        /// The file.
        file: Arc<File>,
        /// Where in it.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// What a reader gives until its end, or so many bytes. An error, or an early end, closes the
    /// connection.
    Reader {
        /// The reader. It may wait: only this connection waits with it.
        reader: Box<dyn Read>,
        /// How many bytes, if that is known.
        len: Option<u64>,
    },
    /// What a reader gives, for as long as the client listens: no limit on the whole of it, and
    /// every piece is sent at once.
    Endless(Box<dyn Read>),
}

impl Reply {
    /// Adds bytes that are there already.
    pub fn extend(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Adds a part of a file.
    pub fn file(&mut self, file: Arc<File>, offset: u64, len: u64) {
        self.part(Part::File { file, offset, len });
    }

    /// Adds what `reader` gives: so many bytes, or, with `None`, all until its end.
    pub fn reader(&mut self, reader: impl Read + 'static, len: impl Into<Option<u64>>) {
        self.part(Part::Reader { reader: Box::new(reader), len: len.into() });
    }

    /// Adds what `reader` gives for as long as the client listens.
    pub fn endless(&mut self, reader: impl Read + 'static) {
        self.part(Part::Endless(Box::new(reader)));
    }

    /// Adds a part of any kind.
    pub fn part(&mut self, part: Part) {
        self.parts.push((self.bytes.len(), part));
    }

    /// Where bytes are added; what is there already must stay.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// All the bytes that stand between parts.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The other parts, each with the number of bytes that go before it.
    pub fn parts(&self) -> &[(usize, Part)] {
        &self.parts
    }

    /// For whoever sends it: the same, and afterwards it is to be [cleared](Reply::clear).
    pub fn split(&mut self) -> (&[u8], std::vec::Drain<'_, (usize, Part)>) {
        (&self.bytes, self.parts.drain(..))
    }

    /// Takes back everything that was added after there were `bytes` bytes and `parts` parts.
    pub fn truncate(&mut self, bytes: usize, parts: usize) {
        self.bytes.truncate(bytes);
        self.parts.truncate(parts);
    }

    /// Makes it empty, keeping at most so much memory.
    pub fn clear(&mut self, capacity_max: usize) {
        self.bytes.clear();
        self.parts.clear();
        self.bytes.shrink_to(capacity_max);
    }

    /// Nothing is in it.
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
