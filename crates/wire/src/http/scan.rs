//! Finds the end of a head, line by line, and applies its limits.
//!
//! Every line is searched once, however the bytes arrive, and every decision depends only on the
//! bytes before it: a head that arrives byte by byte is treated like a head that arrives at once.
//!
//! Line ends are checked here, too, because parsers differ in them (RFC 9112, section 2.2): a line
//! feed without a carriage return, and a line continued in the next one (obs-fold), are refused.

use http::StatusCode;
use memchr::memchr;

use super::Limits;
use super::refusal::{bad, refusal};
use crate::Malformed;

/// The progress of the search for a head's end. All offsets are into the input.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scan {
    /// The start of the request line. It is not 0 if an empty line precedes it, which old clients
    /// send after a body.
    begin: usize,
    /// The start of the current line.
    line: usize,
    /// There is no line feed from `line` to here.
    searched: usize,
    /// The length of the request line, without its end; 0 while it is unknown.
    request_line_bytes: usize,
    fields: usize,
}

/// The position of a head in the input.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) begin: usize,
    pub(crate) end: usize,
    pub(crate) request_line_bytes: usize,
    pub(crate) fields: usize,
}

impl Scan {
    /// Searches the bytes that have arrived since the last call. After a head was found, the next
    /// call searches for the next one, in an input that begins after the found one.
    pub(crate) fn find(
        &mut self,
        input: &[u8],
        limits: &Limits,
    ) -> Result<Option<Found>, Malformed> {
        loop {
            if self.request_line_bytes == 0
                && input.get(self.line).is_some_and(|&byte| !begins_request(byte))
            {
                return Err(bad("not an HTTP request"));
            }
            let bound = self.bound(limits);
            let visible = input.len().min(bound);
            let Some(at) = memchr(b'\n', &input[self.searched..visible]) else {
                self.searched = visible;
                return if visible < bound { Ok(None) } else { Err(self.above(bound, limits)) };
            };
            let end = self.searched + at;
            if end == self.line || input[end - 1] != b'\r' {
                return Err(bad("a line ends without a carriage return"));
            }
            let line = &input[self.line..end - 1];
            (self.line, self.searched) = (end + 1, end + 1);
            if self.request_line_bytes > 0 {
                match line.first() {
                    Some(b' ' | b'\t') => {
                        return Err(bad("a header field continues on a new line"));
                    }
                    Some(_) if self.fields == limits.fields_max.min(Limits::FIELDS_MAX) => {
                        return Err(too_large("there are too many header fields"));
                    }
                    Some(_) => self.fields += 1,
                    None => {
                        let found = Found {
                            begin: self.begin,
                            end: end + 1,
                            request_line_bytes: self.request_line_bytes,
                            fields: self.fields,
                        };
                        *self = Scan::default();
                        return Ok(Some(found));
                    }
                }
            } else if !line.is_empty() {
                self.request_line_bytes = line.len();
            } else if self.begin == 0 {
                self.begin = end + 1;
            } else {
                return Err(bad("more than one empty line before the request"));
            }
        }
    }

    /// The offset before which the current line's line feed must be.
    fn bound(&self, limits: &Limits) -> usize {
        let head = limits.head_bytes_max.saturating_add(self.begin);
        if self.request_line_bytes > 0 {
            return head;
        }
        head.min(self.line.saturating_add(limits.line_bytes_max).saturating_add(2))
    }

    #[cold]
    fn above(&self, bound: usize, limits: &Limits) -> Malformed {
        let is_line = self.request_line_bytes == 0
            && bound == self.line.saturating_add(limits.line_bytes_max).saturating_add(2);
        if is_line {
            refusal(StatusCode::URI_TOO_LONG, "the request line is too long")
        } else {
            too_large("the request head is too large")
        }
    }
}

fn too_large(reason: &'static str) -> Malformed {
    refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, reason)
}

/// Tells whether the byte may begin a method or an empty line.
fn begins_request(byte: u8) -> bool {
    byte == b'\r' || is_token(byte)
}

/// Tells whether the byte may be in a token (RFC 9110, section 5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    const TOKEN: [bool; 256] = table(b"!#$%&'*+-.^_`|~");
    TOKEN[usize::from(byte)]
}

/// Tells whether the byte is allowed in a field's value (RFC 9110, section 5.5).
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Makes a table of letters, digits and `others`.
pub(crate) const fn table(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let mut other = 0;
    while other < others.len() {
        table[others[other] as usize] = true;
        other += 1;
    }
    table
}
