//! Bodies in chunks (RFC 9112, section 7.1), decoded.
//!
//! ```text
//! 5;extension\r\n hello \r\n  0\r\n  Trailer: x\r\n  \r\n
//! ```
//!
//! A state machine reads each byte of the framing once and skips a chunk's data as a whole. Every
//! byte that it reads is consumed, so nothing is read twice. Extensions and trailer fields are
//! checked for their syntax, counted, and ignored.

use std::ops::Range;

use http::StatusCode;

use super::super::Limits;
use super::super::framing::body_too_large;
use super::super::refusal::{bad, refusal};
use super::super::scan::{is_text, is_token};
use super::extension::Extension;
use super::interim::interim_response;
use crate::{BodyDecoder, Malformed, Piece};

/// The maximum number of digits of a chunk's size. A longer spelling, with leading zeros, is
/// refused.
const SIZE_DIGITS_MAX: u32 = 16;

/// The maximum number of bytes of extensions beyond one for each byte of data.
const EXTENSIONS_BYTES_MAX: u64 = 8 * 1024;

/// Fields that a trailer must not have: a parser that obeyed them would end the body elsewhere.
const FRAMING: [&[u8]; 2] = [b"content-length", b"transfer-encoding"];
const FRAMING_BYTES_MAX: usize = 17;

#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    awaits_continue: bool,
    /// The chunk's size while it is read, then the bytes left of its data.
    left: u64,
    digits: u32,
    /// The data bytes of all chunks so far.
    body_bytes: u64,
    extensions_bytes: u64,
    trailer_bytes: usize,
    trailer_fields: usize,
    /// The beginning of a trailer field's name, and the name's length.
    trailer_name: [u8; FRAMING_BYTES_MAX],
    trailer_name_bytes: usize,
    limits: Limits,
}

/// The expected next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A digit of a size, or the byte after the size.
    Size,
    /// A byte of an extension.
    Extension(Extension),
    /// The line feed after a size.
    SizeEnd,
    Data,
    /// The carriage return and the line feed after a chunk's data.
    DataReturn,
    DataEnd,
    /// The first byte of a trailer field or of the empty line.
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    /// The line feed of the empty line.
    End,
}

impl Chunked {
    pub(crate) fn new(limits: &Limits, awaits_continue: bool) -> Chunked {
        Chunked {
            state: State::Size,
            awaits_continue,
            left: 0,
            digits: 0,
            body_bytes: 0,
            extensions_bytes: 0,
            trailer_bytes: 0,
            trailer_fields: 0,
            trailer_name: [0; FRAMING_BYTES_MAX],
            trailer_name_bytes: 0,
            limits: *limits,
        }
    }

    /// Handles one byte of framing, and returns whether the body ends with it.
    fn step(&mut self, byte: u8) -> Result<bool, Malformed> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.digits > 0 => State::SizeEnd,
            (State::Size, b';') if self.digits > 0 => {
                self.count_extension_byte()?;
                State::Extension(Extension::Begin)
            }
            (State::Size, byte) => {
                self.digit(byte)?;
                State::Size
            }
            (State::Extension(at), b'\r') if at.may_end() => State::SizeEnd,
            (State::Extension(at), byte) => {
                self.count_extension_byte()?;
                let next = at.next(byte).ok_or_else(|| bad("invalid chunk extension"))?;
                State::Extension(next)
            }
            (State::SizeEnd, b'\n') => self.size()?,
            (State::SizeEnd, _) => return Err(bad("invalid line ending after a chunk size")),
            (State::Data, _) => State::Data,
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => State::Size,
            (State::DataReturn | State::DataEnd, _) => {
                return Err(bad("missing line ending after the chunk data"));
            }
            (State::End, b'\n') => {
                self.count_trailer_byte()?;
                return Ok(true);
            }
            (State::End, _) => return Err(bad("invalid line ending after the trailer")),
            (state, byte) => self.trailer(state, byte)?,
        };
        Ok(false)
    }

    fn digit(&mut self, byte: u8) -> Result<(), Malformed> {
        let digit = (byte as char).to_digit(16).ok_or_else(|| bad("invalid chunk size"))?;
        self.digits += 1;
        if self.digits > SIZE_DIGITS_MAX {
            return Err(bad("the chunk size has too many digits"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(())
    }

    fn count_extension_byte(&mut self) -> Result<(), Malformed> {
        self.extensions_bytes += 1;
        if self.extensions_bytes > EXTENSIONS_BYTES_MAX.saturating_add(self.body_bytes) {
            return Err(bad("the chunk extensions are too long"));
        }
        Ok(())
    }

    /// Begins the chunk's data, or the trailer, after a complete size.
    fn size(&mut self) -> Result<State, Malformed> {
        self.digits = 0;
        if self.left == 0 {
            return Ok(State::Trailer);
        }
        let sum = self.body_bytes.checked_add(self.left);
        match sum.filter(|&sum| sum <= self.limits.body_bytes_max) {
            Some(sum) => self.body_bytes = sum,
            None => return Err(body_too_large()),
        }
        Ok(State::Data)
    }

    fn push_name_byte(&mut self, byte: u8) {
        if let Some(place) = self.trailer_name.get_mut(self.trailer_name_bytes) {
            *place = byte;
        }
        self.trailer_name_bytes += 1;
    }

    fn is_framing_field(&self) -> bool {
        let name = self.trailer_name.get(..self.trailer_name_bytes);
        name.is_some_and(|name| FRAMING.iter().any(|framing| framing.eq_ignore_ascii_case(name)))
    }

    fn count_trailer_byte(&mut self) -> Result<(), Malformed> {
        self.trailer_bytes += 1;
        if self.trailer_bytes > self.limits.head_bytes_max { Err(too_many()) } else { Ok(()) }
    }

    fn trailer(&mut self, state: State, byte: u8) -> Result<State, Malformed> {
        self.count_trailer_byte()?;
        Ok(match (state, byte) {
            (State::Trailer, b'\r') => State::End,
            (State::Trailer, byte) if is_token(byte) => {
                self.trailer_fields += 1;
                if self.trailer_fields > self.limits.fields_max {
                    return Err(too_many());
                }
                self.trailer_name_bytes = 0;
                self.push_name_byte(byte);
                State::TrailerName
            }
            (State::TrailerName, b':') if self.is_framing_field() => {
                return Err(bad("framing fields are not allowed in the trailer"));
            }
            (State::TrailerName, b':') => State::TrailerValue,
            (State::TrailerName, byte) if is_token(byte) => {
                self.push_name_byte(byte);
                State::TrailerName
            }
            (State::TrailerValue, b'\r') => State::TrailerEnd,
            (State::TrailerValue, byte) if is_text(byte) => State::TrailerValue,
            (State::TrailerEnd, b'\n') => State::Trailer,
            _ => return Err(bad("invalid trailer field")),
        })
    }
}

fn too_many() -> Malformed {
    refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "too many trailer fields")
}

impl BodyDecoder for Chunked {
    fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        let mut data: Range<usize> = 0..0;
        let mut at = 0;
        // A piece ends with its data, so that the data is delivered before an error after it.
        while at < input.len() && data.is_empty() {
            if self.state == State::Data {
                let rest = input.len() - at;
                let length = usize::try_from(self.left).map_or(rest, |left| left.min(rest));
                data = at..at + length;
                at += length;
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                continue;
            }
            at += 1;
            if self.step(input[at - 1])? {
                return Ok(Piece { taken: at, data, end: true });
            }
        }
        Ok(Piece { taken: at, data, end: false })
    }

    fn interim_response(&mut self) -> Option<&'static [u8]> {
        interim_response(&mut self.awaits_continue)
    }
}
