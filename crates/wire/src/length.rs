//! Messages preceded by their length: decimal digits, a line feed, then that many bytes.
//!
//! ```text
//! 5\nhello  →  hello
//! ```
//!
//! A length has one spelling: digits without a sign, a space or a leading zero. Two readers that
//! understand it differently would disagree about everything that follows.

use crate::{Decoded, Exchange, Malformed, Next, Protocol};

/// Answers each message with its body.
///
/// ```
/// use overlapped_wire::{Decoded, Protocol, length::Length};
///
/// let mut length = Length::new(1000);
/// let decoded = length.decode(b"5\nhello3\nab");
/// assert!(matches!(decoded, Ok(Decoded::Whole { request: b"hello", taken: 7 })));
/// assert!(matches!(length.decode(b"3\nab"), Ok(Decoded::More)));
/// assert!(length.decode(b"1001\n").is_err());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Length {
    body_bytes_max: usize,
}

impl Length {
    /// Limits bodies to `body_bytes_max` bytes. A body is answered when all of it is in memory.
    pub fn new(body_bytes_max: usize) -> Length {
        Length { body_bytes_max }
    }
}

impl Default for Length {
    /// Limits bodies to 1 MiB.
    fn default() -> Length {
        Length::new(1024 * 1024)
    }
}

impl Protocol for Length {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        let mut body_bytes = 0_usize;
        // The limit ends this loop: a growing number exceeds it after a few digits.
        for (at, &byte) in input.iter().enumerate() {
            match byte {
                b'0'..=b'9' if at == 0 || body_bytes > 0 => {
                    let digit = usize::from(byte - b'0');
                    body_bytes = body_bytes.saturating_mul(10).saturating_add(digit);
                    if body_bytes > self.body_bytes_max {
                        return Err(malformed("the length exceeds the limit"));
                    }
                }
                b'\n' if at > 0 => {
                    let rest = &input[at + 1..];
                    return Ok(match rest.get(..body_bytes) {
                        Some(request) => Decoded::Whole { request, taken: at + 1 + body_bytes },
                        None => Decoded::More,
                    });
                }
                _ => return Err(malformed("invalid message length")),
            }
        }
        Ok(Decoded::More)
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(request);
        Next::Keep
    }
}

fn malformed(reason: &'static str) -> Malformed {
    Malformed::new(reason, format!("Error: {reason}.\n"))
}
