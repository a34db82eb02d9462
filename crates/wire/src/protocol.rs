//! The [`Protocol`] trait, and what a driver and a protocol exchange.
//!
//! Decoding and answering are two calls, so that a driver can decode ahead, limit what is buffered
//! between them, and send several replies in one write. A request may borrow from the input
//! ([`Protocol::Request`] has a lifetime): a line or a length-prefixed message is answered without
//! a copy.
//!
//! A body that may be larger than memory does not fit that picture. So decoding may end with the
//! *head* of a request and a [`BodyDecoder`]. The driver combines the decoder and the connection
//! into a reader, and the protocol reads as much of the body as it likes, blocking only its own
//! tasklet. The decoder is a separate value because answering borrows the protocol, and reading the
//! body at the same time must not.
use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::time::SystemTime;

use crate::Reply;

/// The server's side of one connection: takes requests out of bytes and makes replies of parts.
///
/// ```
/// use std::io::Write;
/// use overlapped_wire::{Decoded, Exchange, Malformed, Next, Protocol};
///
/// /// Answers each line with its length.
/// struct Lengths;
///
/// impl Protocol for Lengths {
///     type Request<'a> = &'a [u8];
///
///     fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
///         match input.iter().position(|&byte| byte == b'\n') {
///             Some(at) => Ok(Decoded::Whole { request: &input[..at], taken: at + 1 }),
///             None if input.len() >= 1000 => Err(Malformed::new("the line is too long", "?\n")),
///             None => Ok(Decoded::More),
///         }
///     }
///
///     fn respond(&mut self, line: &[u8], exchange: &mut Exchange<'_>) -> Next {
///         let _ = writeln!(exchange.reply, "{}", line.len());
///         Next::Keep
///     }
/// }
///
/// let Ok(Decoded::Whole { request, taken: 6 }) = Lengths.decode(b"hello\nwor") else { panic!() };
/// assert_eq!(request, b"hello");
/// assert!(matches!(Lengths.decode(b"wor"), Ok(Decoded::More)));
/// ```
pub trait Protocol {
    /// A complete request. It may borrow from the input that it was decoded from.
    type Request<'a>;

    /// Takes one request from the beginning of `input`, which is all that has arrived and was not
    /// taken yet. After [`Decoded::More`] the driver calls again with the same bytes and some more,
    /// so a protocol may remember how far it has searched.
    ///
    /// # Errors
    /// Returns [`Malformed`] for invalid input and for an exceeded limit. The driver then calls
    /// [`Protocol::refuse`] and closes the connection.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<Self::Request<'a>>, Malformed>;

    /// Answers a request: writes the parts of the reply, and decides whether the connection stays
    /// open.
    ///
    /// It may block, for a file or for another service: only this connection waits.
    fn respond(&mut self, request: Self::Request<'_>, exchange: &mut Exchange<'_>) -> Next;

    /// Handles the end of the client's stream. `rest` is what has arrived of an incomplete request,
    /// often nothing. The driver sends what is written to `reply` before it closes the connection.
    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        let _ = (rest, reply);
    }

    /// Handles the timeout of a request. `rest` is what has arrived of it, often nothing. The
    /// driver sends what is written to the reply before it closes the connection.
    fn timed_out(&mut self, rest: &[u8], exchange: &mut Exchange<'_>) {
        let _ = (rest, exchange);
    }

    /// Reports a malformed request or body to the client and to the access log, before the driver
    /// closes the connection. `rest` is the input that could not be decoded; it is empty for a
    /// body. The default sends [`Malformed::answer`], which is usually enough.
    fn refuse(&mut self, malformed: &Malformed, rest: &[u8], exchange: &mut Exchange<'_>) {
        let _ = rest;
        exchange.reply.extend(malformed.answer());
    }
}

/// The result of [`Protocol::decode`].
#[derive(Debug)]
pub enum Decoded<R> {
    /// The input holds no complete request yet.
    More,
    /// A complete request: the first `taken` bytes, at least one.
    Whole {
        /// The request.
        request: R,
        /// The number of bytes of the request.
        taken: usize,
    },
    /// A request whose body follows: the bytes after the first `taken` belong to the body.
    Head {
        /// The request, without its body.
        request: R,
        /// The number of bytes of the request's head.
        taken: usize,
        /// Finds the end of the body.
        body: Box<dyn BodyDecoder>,
    },
}

/// Separates a body's bytes from their framing, and finds the body's end.
pub trait BodyDecoder: fmt::Debug {
    /// Decodes the beginning of `input`, which is all that has arrived and was not taken yet.
    ///
    /// # Errors
    /// Returns [`Malformed`] for invalid input and for an exceeded limit. The reader of the body
    /// gets an error. What [`Protocol::refuse`] writes is sent in place of the reply, unless part
    /// of the reply was already sent.
    fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed>;

    /// Returns the interim response (`100 Continue`) that the client waits for before it sends the
    /// body. The driver asks once, before it reads the first byte of the body from the connection.
    fn interim_response(&mut self) -> Option<&'static [u8]> {
        None
    }
}

/// The result of [`BodyDecoder::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// The number of input bytes that are consumed. 0 without `end` means: more input is needed.
    pub taken: usize,
    /// The consumed bytes that belong to the body; the others are framing.
    pub data: Range<usize>,
    /// True if the body ends here.
    pub end: bool,
}

/// The fate of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The driver decodes the next request.
    Keep,
    /// The driver closes the connection as soon as the reply has been sent.
    Close,
}

/// The context of one request: what the answer may depend on, and where it goes.
pub struct Exchange<'a> {
    /// The current time by the driver's clock.
    pub now: SystemTime,
    /// True if the server is about to stop, so that this should be the connection's last exchange.
    /// A protocol that can tell the client does so and returns [`Next::Close`]. Others need not:
    /// when the server stops, the driver closes the connection whatever is returned.
    pub last: bool,
    /// The body of a request that was a [`Decoded::Head`]; empty for others. The driver discards
    /// what is left unread, up to a limit.
    pub body: &'a mut dyn Read,
    /// The reply to write to.
    pub reply: &'a mut Reply,
    /// The entry for the access log, if there is one.
    pub record: Option<&'a mut AccessRecord>,
}

impl fmt::Debug for Exchange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("now", &self.now)
            .field("last", &self.last)
            .field("reply", &self.reply)
            .finish_non_exhaustive()
    }
}

/// A request's entry in an access log. The log escapes the texts when it prints them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRecord {
    /// The request in one line, as the client wrote it.
    pub request: String,
    /// The protocol's numeric status of the reply, if it has one.
    pub status: Option<u16>,
    /// Further fields, by their usual names (`host`, `referer`, `user_agent`).
    pub fields: Vec<(&'static str, String)>,
    /// The number of the reply's bytes before its body.
    pub head_bytes: usize,
}

/// A violation of the protocol, or of one of its limits, by the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    reason: Cow<'static, str>,
    answer: Cow<'static, [u8]>,
}

impl Malformed {
    /// Makes an error. `reason` is for the log; `answer` is sent to the client, unchanged, before
    /// the connection is closed.
    pub fn new(
        reason: impl Into<Cow<'static, str>>,
        answer: impl Into<Cow<'static, str>>,
    ) -> Malformed {
        let answer = match answer.into() {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        };
        Malformed { reason: reason.into(), answer }
    }

    /// The reason, in a few words, for the log.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The bytes that are sent to the client.
    pub fn answer(&self) -> &[u8] {
        &self.answer
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl std::error::Error for Malformed {}
