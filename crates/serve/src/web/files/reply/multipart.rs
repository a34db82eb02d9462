//! Several ranges of a file in one body: `multipart/byteranges` (RFC 9110, section 14.6).

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use http::header::CONTENT_TYPE;

use crate::web::files::resource::{FileContent, Resource};

/// A reader of such a body.
pub(crate) struct Multipart {
    boundary: String,
    pieces: VecDeque<Piece>,
    len: u64,
}

/// A piece of the body.
enum Piece {
    /// The text between two ranges.
    Text(Vec<u8>),
    Memory(Arc<[u8]>, Range<u64>),
    Disk(Rc<overlapped::fs::File>, Range<u64>),
}

impl Multipart {
    /// Creates the reader.
    ///
    /// # Errors
    /// No descriptors are left.
    pub(crate) fn new(resource: &Resource, ranges: &[Range<u64>]) -> io::Result<Multipart> {
        // Random, so that no author of a file can include it.
        let number = || RandomState::new().hash_one(0);
        let boundary = format!("{:016x}{:016x}", number(), number());
        let kind = resource.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or("application/octet-stream");
        let whole = resource.len();
        let disk = match &resource.body {
            FileContent::File(file) => {
                Some(Rc::new(overlapped::fs::File::from(File::try_clone(file)?)))
            }
            FileContent::Memory(_) => None,
        };
        let mut pieces = VecDeque::new();
        for range in ranges {
            let (first, last) = (range.start, range.end - 1);
            let text = format!(
                "\r\n--{boundary}\r\nContent-Type: {kind}\r\n\
                 Content-Range: bytes {first}-{last}/{whole}\r\n\r\n"
            );
            pieces.push_back(Piece::Text(text.into_bytes()));
            pieces.push_back(match (&resource.body, &disk) {
                (FileContent::File(_), Some(file)) => Piece::Disk(Rc::clone(file), range.clone()),
                (FileContent::Memory(bytes), _) => Piece::Memory(Arc::clone(bytes), range.clone()),
                (FileContent::File(_), None) => unreachable!("it was opened above"),
            });
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes()));
        let len = pieces.iter().map(Piece::len).sum();
        Ok(Multipart { boundary, pieces, len })
    }

    /// Returns the media type.
    pub(crate) fn kind(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Memory(_, range) | Piece::Disk(_, range) => range.end - range.start,
        }
    }

    /// Reads bytes from the beginning and removes them.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let max = buf.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let buf = &mut buf[..max];
        let count = match self {
            Piece::Text(text) => {
                buf.copy_from_slice(&text[..max]);
                text.drain(..max);
                return Ok(max);
            }
            Piece::Memory(bytes, range) => {
                let start = range.start as usize;
                buf.copy_from_slice(&bytes[start..start + max]);
                range.start += max as u64;
                return Ok(max);
            }
            Piece::Disk(file, range) => {
                let count = file.read_at(buf, range.start)?;
                range.start += count as u64;
                count
            }
        };
        // The file has become shorter: the announced length cannot be sent.
        if count == 0 && max > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }
}

impl Read for Multipart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.pieces.front().is_some_and(|piece| piece.len() == 0) {
            self.pieces.pop_front();
        }
        match self.pieces.front_mut() {
            Some(piece) if !buf.is_empty() => piece.read(buf),
            _ => Ok(0),
        }
    }
}
