//! Echo (RFC 862): every byte is sent back.
//!
//! The size of a request depends on how the bytes arrive; the bytes sent back do not.

use crate::{Decoded, Exchange, Malformed, Next, Protocol};

/// Sends back every byte as it arrives. The driver's buffer is the only limit.
///
/// ```
/// use overlapped_wire::{Decoded, Protocol, echo::Echo};
///
/// let decoded = Echo.decode(b"hello");
/// assert!(matches!(decoded, Ok(Decoded::Whole { request: b"hello", taken: 5 })));
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Echo;

impl Protocol for Echo {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        Ok(match input {
            [] => Decoded::More,
            request => Decoded::Whole { request, taken: request.len() },
        })
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(request);
        Next::Keep
    }
}
