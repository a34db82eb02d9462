//! Encodes bodies in chunks (RFC 9112, section 7.1): each read of the inner reader makes one chunk.
//!
//! The chunk is built in the caller's buffer. Data is read into it after the space that the longest
//! size would need, and moved if the size is shorter. An error of the reader is returned before the
//! last chunk, so that the client can tell that the body is incomplete.

use std::io::{self, Read};

/// The maximum number of framing bytes of a chunk: its size with a line end, and the line end of
/// its data. Eight digits: longer reads are shortened.
const FRAME_BYTES: usize = 8 + 2 + 2;

/// The largest chunk that is built in the encoder's own buffer, for callers' buffers that cannot
/// hold a frame.
const SMALL_BYTES: usize = 64;

/// Reads the bytes of `reader`, encoded in chunks.
pub(crate) struct ChunkEncoder<R> {
    reader: R,
    /// A chunk that did not fit the caller's buffer: bytes `given..filled` are still to be
    /// returned.
    small: [u8; SMALL_BYTES],
    given: u8,
    filled: u8,
    ended: bool,
}

impl<R: Read> ChunkEncoder<R> {
    pub(crate) fn new(reader: R) -> ChunkEncoder<R> {
        ChunkEncoder { reader, small: [0; SMALL_BYTES], given: 0, filled: 0, ended: false }
    }

    /// Builds a chunk in `buf`, which must have room for a frame.
    fn chunk(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let longest = (buf.len() - FRAME_BYTES).min(0xffff_ffff);
        let begin = digits(longest) + 2;
        let read = loop {
            match self.reader.read(&mut buf[begin..begin + longest]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        if read == 0 {
            self.ended = true;
            buf[..5].copy_from_slice(b"0\r\n\r\n");
            return Ok(5);
        }
        let digits = digits(read);
        if digits + 2 < begin {
            buf.copy_within(begin..begin + read, digits + 2);
        }
        for (at, digit) in buf[..digits].iter_mut().enumerate() {
            let shift = 4 * (digits - 1 - at);
            *digit = b"0123456789abcdef"[read >> shift & 15];
        }
        buf[digits..digits + 2].copy_from_slice(b"\r\n");
        let end = digits + 2 + read;
        buf[end..end + 2].copy_from_slice(b"\r\n");
        Ok(end + 2)
    }
}

/// Counts the hexadecimal digits of a number.
fn digits(number: usize) -> usize {
    (number.max(1).ilog2() / 4 + 1) as usize
}

impl<R: Read> Read for ChunkEncoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        if self.given == self.filled {
            if self.ended {
                return Ok(0);
            }
            if buf.len() >= SMALL_BYTES {
                return self.chunk(buf);
            }
            let mut small = [0; SMALL_BYTES];
            let filled = self.chunk(&mut small)?;
            (self.small, self.given, self.filled) = (small, 0, filled as u8);
        }
        let rest = &self.small[usize::from(self.given)..usize::from(self.filled)];
        let length = rest.len().min(buf.len());
        buf[..length].copy_from_slice(&rest[..length]);
        self.given += length as u8;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns at most `.1` bytes per read.
    struct Slow(io::Cursor<Vec<u8>>, usize);

    impl Read for Slow {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let length = buf.len().min(self.1);
            self.0.read(&mut buf[..length])
        }
    }

    fn all(mut chunks: impl Read, buffer_bytes: usize) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), vec![0; buffer_bytes]);
        loop {
            match chunks.read(&mut buffer).unwrap() {
                0 => return all,
                read => all.extend_from_slice(&buffer[..read]),
            }
        }
    }

    #[test]
    fn what_is_read_at_once_is_a_chunk() {
        let chunks = ChunkEncoder::new(Slow(io::Cursor::new(b"hello, world".to_vec()), 7));
        assert_eq!(all(chunks, 4096), b"7\r\nhello, \r\n5\r\nworld\r\n0\r\n\r\n");
        let chunks = ChunkEncoder::new(Slow(io::Cursor::new(vec![b'x'; 40]), 31));
        let text =
            [b"1f\r\n", &[b'x'; 31][..], b"\r\n9\r\n", &[b'x'; 9], b"\r\n0\r\n\r\n"].concat();
        assert_eq!(all(chunks, 100), text);
    }

    #[test]
    fn chunks_fit_into_buffers_of_any_size() {
        let body: Vec<u8> = (0..70_000_u32).map(|at| at as u8).collect();
        for buffer_bytes in [1, 2, 3, 11, 12, 13, 63, 64, 65, 80, 284, 4096, 65_548, 100_000] {
            let chunks = all(ChunkEncoder::new(io::Cursor::new(body.clone())), buffer_bytes);
            assert_eq!(joined(&chunks), body, "through {buffer_bytes} bytes");
        }
    }

    fn joined(mut chunks: &[u8]) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let at = chunks.windows(2).position(|two| two == b"\r\n").unwrap();
            let size = std::str::from_utf8(&chunks[..at]).unwrap();
            let size = usize::from_str_radix(size, 16).unwrap();
            body.extend_from_slice(&chunks[at + 2..at + 2 + size]);
            assert_eq!(&chunks[at + 2 + size..at + 4 + size], b"\r\n");
            chunks = &chunks[at + 4 + size..];
            if size == 0 {
                assert!(chunks.is_empty());
                return body;
            }
        }
    }

    #[test]
    fn an_error_comes_before_the_last_chunk() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
        let mut chunks = ChunkEncoder::new(io::Cursor::new(b"half").chain(Broken));
        let mut text = Vec::new();
        let error = chunks.read_to_end(&mut text).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(text, b"4\r\nhalf\r\n");
    }
}
