//! Lines, each sent back as it came, with its end.
//!
//! A line ends with a line feed; a carriage return before it is a byte like any other. The search
//! position is remembered, so that a line that arrives in a thousand pieces is searched once.

use memchr::memchr;

use crate::{Decoded, Exchange, Malformed, Next, Protocol};

/// Answers each line with itself. An incomplete last line is not answered.
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
    /// The number of input bytes that were searched and hold no line feed.
    searched: usize,
}

impl Line {
    /// Limits lines to `line_bytes_max` bytes, line ends included.
    pub fn new(line_bytes_max: usize) -> Line {
        Line { line_bytes_max, searched: 0 }
    }
}

impl Default for Line {
    /// Limits lines to 64 KiB.
    fn default() -> Line {
        Line::new(64 * 1024)
    }
}

impl Protocol for Line {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        let visible = &input[..input.len().min(self.line_bytes_max)];
        if let Some(at) = memchr(b'\n', &visible[self.searched..]) {
            let taken = self.searched + at + 1;
            self.searched = 0;
            return Ok(Decoded::Whole { request: &input[..taken], taken });
        }
        self.searched = visible.len();
        if self.searched == self.line_bytes_max {
            return Err(Malformed::new("the line is too long", "Error: the line is too long.\n"));
        }
        Ok(Decoded::More)
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(request);
        Next::Keep
    }
}
