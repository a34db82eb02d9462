//! Where a request's body ends.

mod chunked;
mod extension;

use super::Limits;
use super::framing::{Ending, Framing};
use crate::{BodyDecoder, Malformed, Piece};

/// What tells the body's bytes, if there are any.
pub(crate) fn decoder(framing: &Framing, limits: &Limits) -> Option<Box<dyn BodyDecoder>> {
    let awaits_continue = framing.expects;
    match framing.ending {
        Ending::Empty => None,
        Ending::Length(left) => Some(Box::new(Counted { left, awaits_continue })),
        Ending::Chunked => Some(Box::new(chunked::Chunked::new(limits, awaits_continue))),
    }
}

/// What a client waits for that has said so. The first time only.
fn interim_response(is_open: &mut bool) -> Option<&'static [u8]> {
    std::mem::take(is_open).then_some(b"HTTP/1.1 100 Continue\r\n\r\n")
}

/// Whether the byte may stand in a field's value (RFC 9110, section 5.5).
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// A body of so many bytes.
#[derive(Debug)]
struct Counted {
    left: u64,
    awaits_continue: bool,
}

impl BodyDecoder for Counted {
    fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        let taken = usize::try_from(self.left).map_or(input.len(), |left| left.min(input.len()));
        self.left -= taken as u64;
        Ok(Piece { taken, data: 0..taken, end: self.left == 0 })
    }

    fn interim_response(&mut self) -> Option<&'static [u8]> {
        interim_response(&mut self.awaits_continue)
    }
}
