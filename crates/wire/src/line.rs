//! Lines, each sent back as it came, with its end.
//!
//! A line ends with a line feed; a carriage return before it is a byte like any other. How far a
//! line has been looked at is remembered: one that arrives in a thousand pieces is searched once.

use memchr::memchr;

use crate::{Decoded, Exchange, Malformed, Next, Protocol};

/// Answers each line with itself. What comes after the last one is not answered.
///
/// ```
/// use overlapped_wire::{Decoded, Protocol, line::Line};
///
/// let mut line = Line::new(1000);
/// let decoded = line.decode(b"hello\nwor");
/// assert!(matches!(decoded, Ok(Decoded::Whole { request: b"hello\n", taken: 6 })));
/// assert!(matches!(line.decode(b"wor"), Ok(Decoded::More)));
/// ```
#[derive(Debug, Clone)]
pub struct Line {
    line_bytes_max: usize,
    /// No line feed among so many bytes of the input.
    looked: usize,
}

impl Line {
    /// With lines of at most so many bytes, their ends included.
    pub fn new(line_bytes_max: usize) -> Line {
        Line { line_bytes_max, looked: 0 }
    }
}

impl Default for Line {
    /// Lines of at most 64 KiB.
    fn default() -> Line {
        Line::new(64 * 1024)
    }
}

impl Protocol for Line {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        let visible = &input[..input.len().min(self.line_bytes_max)];
        if let Some(at) = memchr(b'\n', &visible[self.looked..]) {
            let taken = self.looked + at + 1;
            self.looked = 0;
            return Ok(Decoded::Whole { request: &input[..taken], taken });
        }
        self.looked = visible.len();
        if self.looked == self.line_bytes_max {
            return Err(Malformed::new("a line is too long", "Error: this line is too long.\n"));
        }
        Ok(Decoded::More)
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(request);
        Next::Keep
    }
}
