//! Several parts of a file in one body: `multipart/byteranges` (RFC 9110, section 14.6).

use std::collections::VecDeque;
use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::Arc;

use http::header::CONTENT_TYPE;

use crate::web::files::resource::{Body, Resource};

/// A reader of the whole body.
pub(crate) struct Multipart {
    boundary: String,
    pieces: VecDeque<Piece>,
    len: u64,
}

enum Piece {
    /// What stands between the parts.
    Text(Vec<u8>),
    Memory(Arc<[u8]>, Range<u64>),
    Disk(Rc<overlapped::fs::File>, Range<u64>),
}

impl Multipart {
    /// # Errors
    /// No descriptors left.
    pub(crate) fn new(resource: &Resource, parts: &[Range<u64>]) -> io::Result<Multipart> {
        // Random, so that nobody can write a file that contains it.
        let number = || RandomState::new().hash_one(0);
        let boundary = format!("{:016x}{:016x}", number(), number());
        let kind = resource.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or("application/octet-stream");
        let whole = resource.len();
        let disk = match &resource.body {
            Body::Open(file) => Some(Rc::new(overlapped::fs::File::from(File::try_clone(file)?))),
            Body::Kept(_) => None,
        };
        let mut pieces = VecDeque::new();
        for part in parts {
            let (first, last) = (part.start, part.end - 1);
            let text = format!(
                "\r\n--{boundary}\r\nContent-Type: {kind}\r\n\
                 Content-Range: bytes {first}-{last}/{whole}\r\n\r\n"
            );
            pieces.push_back(Piece::Text(text.into_bytes()));
            pieces.push_back(match (&resource.body, &disk) {
                (Body::Open(_), Some(file)) => Piece::Disk(Rc::clone(file), part.clone()),
                (Body::Kept(bytes), _) => Piece::Memory(Arc::clone(bytes), part.clone()),
                (Body::Open(_), None) => unreachable!("it was opened above"),
            });
        }
        pieces.push_back(Piece::Text(format!("\r\n--{boundary}--\r\n").into_bytes()));
        let len = pieces.iter().map(Piece::len).sum();
        Ok(Multipart { boundary, pieces, len })
    }

    /// Its media type.
    pub(crate) fn kind(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Memory(_, part) | Piece::Disk(_, part) => part.end - part.start,
        }
    }

    /// Takes bytes from its beginning.
    fn take(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let most = buf.len().min(usize::try_from(self.len()).unwrap_or(usize::MAX));
        let buf = &mut buf[..most];
        let count = match self {
            Piece::Text(text) => {
                buf.copy_from_slice(&text[..most]);
                text.drain(..most);
                return Ok(most);
            }
            Piece::Memory(bytes, part) => {
                let start = part.start as usize;
                buf.copy_from_slice(&bytes[start..start + most]);
                part.start += most as u64;
                return Ok(most);
            }
            Piece::Disk(file, part) => {
                let count = file.read_at(buf, part.start)?;
                part.start += count as u64;
                count
            }
        };
        // The file has become shorter: what was promised cannot be kept.
        if count == 0 && most > 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(count) }
    }
}

impl Read for Multipart {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        while self.pieces.front().is_some_and(|piece| piece.len() == 0) {
            self.pieces.pop_front();
        }
        match self.pieces.front_mut() {
            Some(piece) if !buf.is_empty() => piece.take(buf),
            _ => Ok(0),
        }
    }
}
