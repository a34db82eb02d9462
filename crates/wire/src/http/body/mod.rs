//! Decoders of request bodies.

mod chunked;
mod extension;
mod interim;

use super::Limits;
use super::framing::{BodyEnd, Framing};
use crate::{BodyDecoder, Malformed, Piece};
use interim::interim_response;

/// Makes the decoder of a request's body; `None` if there is no body.
pub(crate) fn decoder(framing: &Framing, limits: &Limits) -> Option<Box<dyn BodyDecoder>> {
    let awaits_continue = framing.expects;
    match framing.end {
        BodyEnd::Empty => None,
        BodyEnd::Length(left) => Some(Box::new(Counted { left, awaits_continue })),
        BodyEnd::Chunked => Some(Box::new(chunked::Chunked::new(limits, awaits_continue))),
    }
}

/// A body with a known length.
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
