//! What a protocol is.
//!
//! Decoding and answering are two calls, so that a driver can decode ahead, measure what lies
//! between, and send several replies in one write. A request may borrow from the bytes it came in
//! ([`Protocol::Request`] has a lifetime): a line or a length-prefixed message is answered without
//! a copy.
//!
//! A body that may be larger than memory does not fit that picture. So decoding may end with the
//! *head* of a request and a [`BodyDecoder`]; the driver makes a reader of it and of the
//! connection, and the one who answers reads as much as it likes, blocking its tasklet only. Why
//! the decoder is a value of its own: answering borrows the protocol, and reading the body at the
//! same time must not.

use std::borrow::Cow;
use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::time::SystemTime;

use crate::Reply;

/// One connection's side of a conversation: complete requests come out of bytes, replies are made
/// of parts.
///
/// ```
/// use std::io::Write;
/// use overlapped_wire::{Decoded, Exchange, Malformed, Next, Protocol};
///
/// /// Says how long each line is.
/// struct Lengths;
///
/// impl Protocol for Lengths {
///     type Request<'a> = &'a [u8];
///
///     fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
///         match input.iter().position(|&byte| byte == b'\n') {
///             Some(at) => Ok(Decoded::Whole { request: &input[..at], taken: at + 1 }),
///             None if input.len() >= 1000 => Err(Malformed::new("a line is too long", "?\n")),
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
    /// A complete request. It may borrow from the bytes that it came in.
    type Request<'a>;

    /// Takes one request from the beginning of `input`, which is everything that has come and was
    /// not taken. After [`Decoded::More`] it is called again with the same bytes and some more, so
    /// it may remember how far it has looked.
    ///
    /// # Errors
    /// [`Malformed`], also where a limit is exceeded: it is answered by [`Protocol::refuse`], then
    /// the connection is closed.
    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<Self::Request<'a>>, Malformed>;

    /// Answers a request: writes the parts of the reply, and says what becomes of the connection.
    ///
    /// It may wait, for a file or for another service: only this connection waits with it.
    fn respond(&mut self, request: Self::Request<'_>, exchange: &mut Exchange<'_>) -> Next;

    /// The client sends nothing any more; `rest` is what it sent of an incomplete request, often
    /// nothing. What is written to `reply` is sent before the connection is closed.
    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        let _ = (rest, reply);
    }

    /// A request did not come in time; `rest` is what has come of it, often nothing. What is
    /// written to the reply is sent before the connection is closed.
    fn timed_out(&mut self, rest: &[u8], exchange: &mut Exchange<'_>) {
        let _ = (rest, exchange);
    }

    /// A request, or its body, was malformed: writes what the client is told before the connection
    /// is closed, and what the access log is told. `rest` is what could not be decoded; for a body,
    /// nothing. Usually there is no more to say than [`Malformed::answer`].
    fn refuse(&mut self, malformed: &Malformed, rest: &[u8], exchange: &mut Exchange<'_>) {
        let _ = rest;
        exchange.reply.extend(malformed.answer());
    }
}

/// What [`Protocol::decode`] found.
#[derive(Debug)]
pub enum Decoded<R> {
    /// Nothing complete yet.
    More,
    /// A complete request: the first `taken` bytes, at least one.
    Whole {
        /// The request.
        request: R,
        /// How many bytes it was.
        taken: usize,
    },
    /// A request whose body follows: what comes after the first `taken` bytes is the body's.
    Head {
        /// The request, without its body.
        request: R,
        /// How many bytes its head was.
        taken: usize,
        /// Tells the body from what follows it.
        body: Box<dyn BodyDecoder>,
    },
}

/// Tells a body's bytes from its framing, and finds its end.
pub trait BodyDecoder: fmt::Debug {
    /// Looks at the beginning of `input`, which is everything that has come and was not taken.
    ///
    /// # Errors
    /// [`Malformed`], also where a limit is exceeded. Whoever reads the body gets an error, and
    /// what [`Protocol::refuse`] writes is sent instead of the reply, unless that has begun.
    fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed>;

    /// What the client waits for before it sends the body (`100 Continue`); asked for once, before
    /// the first byte of the body is read from the connection.
    fn interim_response(&mut self) -> Option<&'static [u8]> {
        None
    }
}

/// What [`BodyDecoder::decode`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// How many bytes of the input are done with. With none, and no end: more is needed.
    pub taken: usize,
    /// Which of them are the body's; the others are framing.
    pub data: Range<usize>,
    /// The body ends here.
    pub end: bool,
}

/// What becomes of the connection after a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next request is decoded.
    Keep,
    /// It is closed as soon as the reply has been sent.
    Close,
}

/// One request's surroundings: what its answer may depend on, and where the answer goes.
pub struct Exchange<'a> {
    /// The time, as the driver's clock has it.
    pub now: SystemTime,
    /// The server is about to stop: this should be the connection's last exchange. Who can tell the
    /// client says so and returns [`Next::Close`]. Others need not: when the server stops, the
    /// driver ends the connection, whatever is returned.
    pub last: bool,
    /// The body of a request that was a [`Decoded::Head`]; empty for others. What nobody reads is
    /// read and thrown away, up to a limit.
    pub body: &'a mut dyn Read,
    /// Where the answer goes.
    pub reply: &'a mut Reply,
    /// What to tell the access log, if there is one.
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

/// A request, for an access log. Whoever prints it escapes it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessRecord {
    /// The request in one line, as the client wrote it.
    pub request: String,
    /// Its result in the protocol's numbers, if it has such.
    pub status: Option<u16>,
    /// Further fields, by their usual names (`host`, `referer`, `user_agent`).
    pub fields: Vec<(&'static str, String)>,
    /// The bytes of the reply that come before its body.
    pub head_bytes: usize,
}

/// A client broke the protocol or one of its limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    reason: Cow<'static, str>,
    answer: Cow<'static, [u8]>,
}

impl Malformed {
    /// `reason` is for the log; `answer` is sent to the client, as it is, before the connection is
    /// closed.
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

    /// What is wrong, in a few words.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// What the client is told.
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
