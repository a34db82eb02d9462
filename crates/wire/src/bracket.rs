//! Echo in brackets: `hello` is answered with `[hello]`.
//!
//! One read from the socket is one request: the brackets show how the bytes arrived. It is the one
//! protocol here whose answers depend on that, and only by the positions of the brackets.

use crate::{Decoded, Exchange, Malformed, Next, Protocol};

/// Sends back what arrives, with a bracket before and after each piece.
///
/// A piece is never larger than `piece_bytes_max`, however much has arrived.
///
/// ```
/// use overlapped_wire::{Decoded, Protocol, bracket::Bracket};
///
/// let decoded = Bracket::new(4).decode(b"hello");
/// assert!(matches!(decoded, Ok(Decoded::Whole { request: b"hell", taken: 4 })));
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bracket {
    piece_bytes_max: usize,
}

impl Bracket {
    /// Limits pieces to `piece_bytes_max` bytes, at least 1.
    pub fn new(piece_bytes_max: usize) -> Bracket {
        Bracket { piece_bytes_max: piece_bytes_max.max(1) }
    }
}

impl Default for Bracket {
    /// Limits pieces to 64 KiB.
    fn default() -> Bracket {
        Bracket::new(64 * 1024)
    }
}

impl Protocol for Bracket {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        Ok(match &input[..input.len().min(self.piece_bytes_max)] {
            [] => Decoded::More,
            request => Decoded::Whole { request, taken: request.len() },
        })
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(b"[");
        exchange.reply.extend(request);
        exchange.reply.extend(b"]");
        Next::Keep
    }
}
