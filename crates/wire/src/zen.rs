//! The Zen game: what is better than what, by the Zen of Python. TCP, port 1060.
//!
//! A question ends with a question mark. Three questions are known; any other is answered with
//! `Error: unknown aphorism.`:
//!
//! | question | answer |
//! |---|---|
//! | `Beautiful is better than?` | `Ugly.` |
//! | `Explicit is better than?` | `Implicit.` |
//! | `Simple is better than?` | `Complex.` |
//!
//! A client may send many questions on one connection, also several at once: all are answered, in
//! order. (The historic server took the result of one read from the socket for one question, and
//! answered a packet of several with one error.) Nothing separates two questions or two answers, so
//! a question after a line feed is an unknown one.
//!
//! A client that disconnects in the middle of a question is reported through [`tracing`], with the
//! part of the question that has arrived.

use memchr::memchr;
use tracing::info;

use crate::{Decoded, Exchange, Malformed, Next, Protocol, Reply};

/// The game's default TCP port.
pub const PORT: u16 = 1060;

/// The answer to an unknown question.
const UNKNOWN: &str = "Error: unknown aphorism.";

/// Answers a question, which ends with its question mark.
///
/// ```
/// use overlapped_wire::zen;
///
/// assert_eq!(zen::answer(b"Simple is better than?"), "Complex.");
/// assert_eq!(zen::answer(b"Flat is better than?"), "Error: unknown aphorism.");
/// ```
pub fn answer(question: &[u8]) -> &'static str {
    match question {
        b"Beautiful is better than?" => "Ugly.",
        b"Explicit is better than?" => "Implicit.",
        b"Simple is better than?" => "Complex.",
        _ => UNKNOWN,
    }
}

/// The game, on one connection.
///
/// ```
/// use overlapped_wire::{Decoded, Protocol, zen::Zen};
///
/// let decoded = Zen::default().decode(b"Simple is better than?Explicit is");
/// assert!(matches!(decoded, Ok(Decoded::Whole { taken: 22, .. })));
/// ```
#[derive(Debug, Clone)]
pub struct Zen {
    question_bytes_max: usize,
    /// The number of input bytes that were searched and hold no question mark.
    searched: usize,
}

impl Zen {
    /// Limits questions to `question_bytes_max` bytes, the question mark included. A longer one is
    /// answered as an unknown one, and the connection is closed.
    pub fn new(question_bytes_max: usize) -> Zen {
        Zen { question_bytes_max, searched: 0 }
    }
}

impl Default for Zen {
    /// Limits questions to 1 KiB.
    fn default() -> Zen {
        Zen::new(1024)
    }
}

impl Protocol for Zen {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        let visible = &input[..input.len().min(self.question_bytes_max)];
        if let Some(at) = memchr(b'?', &visible[self.searched..]) {
            let taken = self.searched + at + 1;
            self.searched = 0;
            return Ok(Decoded::Whole { request: &input[..taken], taken });
        }
        self.searched = visible.len();
        if self.searched == self.question_bytes_max {
            return Err(Malformed::new("the question is too long", UNKNOWN));
        }
        Ok(Decoded::More)
    }

    fn respond(&mut self, question: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(answer(question).as_bytes());
        Next::Keep
    }

    fn finish(&mut self, rest: &[u8], _: &mut Reply) {
        if !rest.is_empty() {
            info!(received = %rest.escape_ascii(), "the client disconnected within a question");
        }
    }
}
