//! The read buffer: received bytes that no request has taken.
//!
//! An idle connection has this buffer and its stack, nothing else. So the buffer is small until
//! requests turn out to be larger. It grows when reads fill it, and shrinks when the connection has
//! been idle for a while; a buffer that has not grown needs no timer for that. Rejected: to receive
//! on the stack and take a buffer only when bytes have arrived. A kibibyte must then be cleared for
//! each request: for 1 KiB over 256 connections, the server takes 1.12 [1.02, 1.36] times the
//! processor time. Rejected, too: to wait for readability instead of bytes, which is one more
//! operation per request.

/// The initial size, and the size that a connection keeps when it is idle. Most requests fit, also
/// several small ones; larger ones need one more read.
pub(crate) const SMALL: usize = 1 << 10;
/// The minimum size while a request's body is read.
const MEDIUM: usize = 4 << 10;
/// The size to which the buffer grows for a client that sends as fast as it can, even with small
/// requests.
const LARGE: usize = 64 << 10;

/// A buffer that is filled at its end and consumed from its beginning.
#[derive(Debug)]
pub(crate) struct ReadBuffer {
    /// All of it is initialised, because reads need that.
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled the buffer, so more bytes may have arrived.
    is_full: bool,
}

impl ReadBuffer {
    pub(crate) fn new() -> ReadBuffer {
        ReadBuffer { memory: vec![0; SMALL], start: 0, end: 0, is_full: false }
    }

    /// Creates a buffer that holds `bytes`.
    pub(crate) fn from_bytes(bytes: &[u8]) -> ReadBuffer {
        let mut memory = vec![0; bytes.len().next_power_of_two().max(MEDIUM)];
        memory[..bytes.len()].copy_from_slice(bytes);
        ReadBuffer { memory, start: 0, end: bytes.len(), is_full: false }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Removes bytes from the beginning.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.end, "a protocol takes no more than it was given");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Returns the space for the next read. It is never empty, unless the buffer holds `limit`
    /// bytes already.
    pub(crate) fn space(&mut self, limit: usize) -> &mut [u8] {
        if self.start > 0 && self.memory.len() - self.end < self.memory.len() / 2 {
            self.memory.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.memory.len() && self.end < limit {
            self.memory.resize((2 * self.end).clamp(SMALL, limit.max(SMALL)), 0);
        }
        &mut self.memory[self.end..]
    }

    /// Adds `bytes` bytes that were read into the [`space`](ReadBuffer::space).
    pub(crate) fn fill(&mut self, bytes: usize) {
        self.end += bytes;
        self.is_full = self.end == self.memory.len();
        if self.is_full && self.end < LARGE {
            self.memory.resize((4 * self.end).clamp(SMALL, LARGE), 0);
        }
    }

    /// Tells whether the last read filled the buffer, so that more bytes may have arrived.
    pub(crate) fn is_full(&self) -> bool {
        self.is_full
    }

    /// Tells whether [`shrink`](ReadBuffer::shrink) would free memory.
    pub(crate) fn has_grown(&self) -> bool {
        self.memory.len() > SMALL
    }

    /// Frees the memory that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.memory = vec![0; SMALL];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffer: &mut ReadBuffer, byte: u8, limit: usize) -> usize {
        let space = buffer.space(limit);
        space.fill(byte);
        let filled = space.len();
        buffer.fill(filled);
        filled
    }

    #[test]
    fn a_buffer_grows_when_reads_fill_it_up_to_the_limit() {
        let mut buffer = ReadBuffer::new();
        assert_eq!(fill(&mut buffer, 1, 20_000), SMALL);
        while fill(&mut buffer, 2, 100_000) > 0 {}
        assert_eq!(buffer.len(), 100_000);
        assert!(buffer.bytes()[..SMALL].iter().all(|&byte| byte == 1));
        assert!(buffer.bytes()[SMALL..].iter().all(|&byte| byte == 2));
    }

    #[test]
    fn consumed_bytes_make_room_for_the_next_read() {
        let mut buffer = ReadBuffer::from_bytes(&[7; 10]);
        fill(&mut buffer, 8, 100_000);
        buffer.consume(10);
        let len = buffer.len();
        buffer.consume(len - 1);
        assert_eq!(buffer.bytes(), [8]);
        assert!(buffer.space(100_000).len() >= SMALL);
        assert_eq!(buffer.bytes(), [8]);
    }

    #[test]
    fn a_buffer_that_has_grown_shrinks_and_another_stays() {
        let mut buffer = ReadBuffer::new();
        buffer.space(100_000)[0] = 1;
        buffer.fill(1);
        buffer.consume(1);
        assert!(!buffer.has_grown());
        let filled = fill(&mut buffer, 1, 100_000);
        buffer.consume(filled);
        assert!(buffer.has_grown());
        buffer.shrink();
        assert!(!buffer.has_grown());
        assert_eq!(fill(&mut buffer, 1, 100_000), SMALL);
    }
}
