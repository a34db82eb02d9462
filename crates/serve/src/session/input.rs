//! What has come and was not taken.
//!
//! The buffer is all that an idle connection has besides its stack, so it is small until requests
//! turn out to be larger. It grows where reads fill it, and shrinks when the connection has been
//! idle for a while; one that has not grown needs no timer for that. Rejected: to receive on the
//! stack, and take a buffer when bytes are there, which has a kibibyte to clear for each request
//! (server's time for 1 KiB over 256 connections: 1.12 [1.02, 1.36] of this); and to wait for
//! readability instead of bytes, which is one operation more for each request.

/// What a connection begins with and what one that has been idle for a while keeps. Most requests
/// fit, several small ones, too; those that do not take one read more.
pub(crate) const SMALL: usize = 1 << 10;
/// What a request's body begins with.
const MIDDLE: usize = 4 << 10;
/// What a client that sends as fast as it can gets, even if its requests are small.
const LARGE: usize = 64 << 10;

/// A buffer that is filled at its end and taken from at its beginning.
#[derive(Debug)]
pub(crate) struct Input {
    /// All of it is initialised: reads need that.
    memory: Vec<u8>,
    start: usize,
    end: usize,
    /// The last read filled its space: there may be more than it could take.
    is_brimful: bool,
}

impl Input {
    pub(crate) fn new() -> Input {
        Input { memory: vec![0; SMALL], start: 0, end: 0, is_brimful: false }
    }

    /// With these bytes in it.
    pub(crate) fn with(bytes: &[u8]) -> Input {
        let mut memory = vec![0; bytes.len().next_power_of_two().max(MIDDLE)];
        memory[..bytes.len()].copy_from_slice(bytes);
        Input { memory, start: 0, end: bytes.len(), is_brimful: false }
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

    /// Takes bytes from the beginning.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        assert!(self.start <= self.end, "a protocol takes no more than it was shown");
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Where the next read goes: never empty, unless `limit` bytes are held already.
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

    /// So many bytes were read into the [`space`](Input::space).
    pub(crate) fn filled(&mut self, bytes: usize) {
        self.end += bytes;
        self.is_brimful = self.end == self.memory.len();
        if self.is_brimful && self.end < LARGE {
            self.memory.resize((4 * self.end).clamp(SMALL, LARGE), 0);
        }
    }

    /// Whether the last read may have left something behind.
    pub(crate) fn is_brimful(&self) -> bool {
        self.is_brimful
    }

    /// Whether [`shrink`](Input::shrink) would change something.
    pub(crate) fn is_wide(&self) -> bool {
        self.memory.len() > SMALL
    }

    /// Gives back what an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() {
            self.memory = vec![0; SMALL];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(input: &mut Input, byte: u8, limit: usize) -> usize {
        let space = input.space(limit);
        space.fill(byte);
        let filled = space.len();
        input.filled(filled);
        filled
    }

    #[test]
    fn it_grows_where_reads_fill_it_and_not_past_the_limit() {
        let mut input = Input::new();
        assert_eq!(fill(&mut input, 1, 20_000), SMALL);
        while fill(&mut input, 2, 100_000) > 0 {}
        assert_eq!(input.len(), 100_000);
        assert!(input.bytes()[..SMALL].iter().all(|&byte| byte == 1));
        assert!(input.bytes()[SMALL..].iter().all(|&byte| byte == 2));
    }

    #[test]
    fn what_was_taken_makes_room_for_what_comes() {
        let mut input = Input::with(&[7; 10]);
        fill(&mut input, 8, 100_000);
        input.consume(10);
        let len = input.len();
        input.consume(len - 1);
        assert_eq!(input.bytes(), [8]);
        assert!(input.space(100_000).len() >= SMALL);
        assert_eq!(input.bytes(), [8]);
    }

    #[test]
    fn one_that_has_grown_is_small_again_when_it_is_idle_and_one_that_has_not_stays_as_it_is() {
        let mut input = Input::new();
        input.space(100_000)[0] = 1;
        input.filled(1);
        input.consume(1);
        assert!(!input.is_wide());
        let filled = fill(&mut input, 1, 100_000);
        input.consume(filled);
        assert!(input.is_wide());
        input.shrink();
        assert!(!input.is_wide());
        assert_eq!(fill(&mut input, 1, 100_000), SMALL);
    }
}
