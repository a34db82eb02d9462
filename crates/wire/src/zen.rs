//! The Zen game: what is better than what, by the Zen of Python. TCP, port 1060.
//!
//! A question ends with a question mark. Three are known, everything else is answered with
//! `Error: unknown aphorism.`:
//!
//! | question | answer |
//! |---|---|
//! | `Beautiful is better than?` | `Ugly.` |
//! | `Explicit is better than?` | `Implicit.` |
//! | `Simple is better than?` | `Complex.` |
//!
//! A client may ask many on one connection, also several at once: all are answered, in order. (The
//! historic server took what one reading of the socket gave for one question, and answered a
//! packet of several with one error.) Nothing stands between two questions or answers, so a
//! question after a line feed is an unknown one.
//!
//! A connection that is closed in mid-question is reported through [`tracing`], with what had come
//! of the question.

use memchr::memchr;
use tracing::info;

use crate::{Decoded, Exchange, Malformed, Next, Protocol, Reply};

/// Where the game is played, if nobody says otherwise.
pub const PORT: u16 = 1060;

/// The answer to a question that is not known.
const UNKNOWN: &str = "Error: unknown aphorism.";

/// The answer to a question, which ends with its question mark.
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
    /// No question mark among so many bytes of the input.
    looked: usize,
}

impl Zen {
    /// With questions of at most so many bytes, the question mark included. A longer one is
    /// answered as an unknown one, and is the last.
    pub fn new(question_bytes_max: usize) -> Zen {
        Zen { question_bytes_max, looked: 0 }
    }
}

impl Default for Zen {
    /// Questions of at most 1 KiB.
    fn default() -> Zen {
        Zen::new(1024)
    }
}

impl Protocol for Zen {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        let visible = &input[..input.len().min(self.question_bytes_max)];
        if let Some(at) = memchr(b'?', &visible[self.looked..]) {
            let taken = self.looked + at + 1;
            self.looked = 0;
            return Ok(Decoded::Whole { request: &input[..taken], taken });
        }
        self.looked = visible.len();
        if self.looked == self.question_bytes_max {
            return Err(Malformed::new("a question is too long", UNKNOWN));
        }
        Ok(Decoded::More)
    }

    fn respond(&mut self, question: &[u8], exchange: &mut Exchange<'_>) -> Next {
        exchange.reply.extend(answer(question).as_bytes());
        Next::Keep
    }

    fn finish(&mut self, rest: &[u8], _: &mut Reply) {
        if !rest.is_empty() {
            info!(came = %rest.escape_ascii(), "the client left in mid-question");
        }
    }
}
