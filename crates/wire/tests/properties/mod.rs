//! Properties that hold for any bytes, as functions of bytes: a fuzzer generates the bytes
//! (`fuzz/`), and a test takes known ones (`tests/seeds.rs`).
//!
//! The first two bytes choose where the others are cut. For each protocol:
//!
//! - the same bytes have the same outcome however they are cut (the requests served, the refusals,
//!   every byte of the replies);
//! - while the protocol waits for more, fewer bytes have arrived than its limits allow, so a buffer
//!   of that size is enough;
//! - the conversation ends, and the protocol takes no more than it was passed (checked by
//!   `support`).
#![allow(unreachable_pub, reason = "this is a module of a library, too")]

use overlapped_wire::bracket::Bracket;
use overlapped_wire::codec::CodecProtocol;
use overlapped_wire::echo::Echo;
use overlapped_wire::http::{Http, Limits};
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::zen::Zen;
use overlapped_wire::{BodyDecoder, Decoded, Exchange, Malformed, Next, Piece, Protocol, Reply};
use tokio_util::codec::{LengthDelimitedCodec, LinesCodec};

use crate::support::{self, End, Mirror, Outcome, byte_by_byte, drive, whole_input};
use testkit::Rng;

/// A property; it panics if it does not hold for these bytes.
pub type Property = fn(&[u8]);

/// All properties by name.
pub const PROPERTIES: &[(&str, Property)] = &[
    ("echo", echo),
    ("bracket", bracket),
    ("length", length),
    ("line", line),
    ("zen", zen),
    ("http", http),
    ("codec", codec),
];

/// The longest input that is also passed byte by byte: the cost is quadratic.
const BYTE_BY_BYTE_MAX: usize = 300;

/// Splits the input into the cuts and the message.
fn parts(data: &[u8]) -> (Vec<usize>, &[u8]) {
    let Some((seed, whole)) = data.split_at_checked(2) else { return (Vec::new(), data) };
    let mut random = Rng(u64::from(u16::from_le_bytes([seed[0], seed[1]])));
    let mut cuts: Vec<usize> = match whole.len() {
        0 | 1 => Vec::new(),
        len => (0..random.below(9)).map(|_| 1 + random.below(len - 1)).collect(),
    };
    cuts.sort_unstable();
    cuts.dedup();
    (cuts, whole)
}

/// Checks that the outcome does not depend on the cuts, and returns it.
fn same<P: Protocol>(data: &[u8], most: usize, make: impl Fn() -> P) -> Outcome {
    let (cuts, whole) = parts(data);
    let make = || Bounded { inner: make(), most };
    let outcome = whole_input(&mut make(), whole);
    assert_eq!(drive(&mut make(), whole, &mut cuts.into_iter()), outcome, "cut");
    if whole.len() <= BYTE_BY_BYTE_MAX {
        assert_eq!(byte_by_byte(&mut make(), whole), outcome, "byte by byte");
    }
    outcome
}

pub fn echo(data: &[u8]) {
    let (cuts, whole) = parts(data);
    let outcome = drive(&mut Bounded { inner: Echo, most: 1 }, whole, &mut cuts.into_iter());
    assert_eq!(outcome.output(), whole);
}

/// Checks the one protocol whose answers depend on the cuts.
pub fn bracket(data: &[u8]) {
    const MOST: usize = 10;
    let (cuts, whole) = parts(data);
    let mut bracket = Bounded { inner: Bracket::new(MOST), most: 1 };
    let outcome = drive(&mut bracket, whole, &mut cuts.into_iter());
    let mut begin = 0;
    for one in &outcome.served {
        let piece = &whole[begin..one.end];
        assert!((1..=MOST).contains(&piece.len()));
        assert_eq!(one.reply, [b"[", piece, b"]"].concat());
        begin = one.end;
    }
    assert_eq!(begin, whole.len(), "all of it is answered");
}

pub fn length(data: &[u8]) {
    const MOST: usize = 60;
    // Two digits and a line feed precede the body.
    let outcome = same(data, 3 + MOST, || Length::new(MOST));
    let mut begin = 0;
    for one in &outcome.served {
        let message = &parts(data).1[begin..one.end];
        let spelling = format!("{}\n", one.reply.len());
        assert_eq!(message, [spelling.as_bytes(), &one.reply].concat(), "one spelling only");
        begin = one.end;
    }
}

pub fn line(data: &[u8]) {
    const MOST: usize = 60;
    let outcome = same(data, MOST, || Line::new(MOST));
    for one in &outcome.served {
        assert!(one.reply.len() <= MOST && one.reply.ends_with(b"\n"));
    }
    if let End::Finished { rest, .. } = &outcome.end {
        assert_eq!([outcome.output(), rest.clone()].concat(), parts(data).1);
    }
}

pub fn zen(data: &[u8]) {
    let outcome = same(data, 60, || Zen::new(60));
    for one in &outcome.served {
        assert!(one.reply.ends_with(b"."));
    }
}

pub fn http(data: &[u8]) {
    let tight =
        Limits { line_bytes_max: 40, fields_max: 5, head_bytes_max: 120, body_bytes_max: 30 };
    for limits in [Limits::default(), tight] {
        // An empty line before a request does not count.
        let most = limits.head_bytes_max + 2;
        let outcome = same(data, most, || Http::with_limits(Mirror, limits));
        for one in &outcome.served {
            check_reply(&one.reply, one.record.request.starts_with("HEAD "));
        }
        if let End::Malformed { reply, .. } = &outcome.end {
            let head = String::from_utf8_lossy(reply);
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            assert!(support::status(reply) >= 400, "{head}");
        }
    }
}

/// Checks that a client's parser finds exactly one answer.
fn check_reply(reply: &[u8], is_head: bool) {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut fields);
    let Ok(httparse::Status::Complete(head)) = response.parse(reply) else {
        panic!("no answer: {}", reply.escape_ascii());
    };
    let length = response.headers.iter().find(|field| field.name == "Content-Length");
    let length = length.map_or(0, |field| String::from_utf8_lossy(field.value).parse().unwrap());
    let expected = if is_head || response.code == Some(204) { 0 } else { length };
    assert_eq!(reply.len() - head, expected, "{}", reply.escape_ascii());
}

pub fn codec(data: &[u8]) {
    const MOST: usize = 9;
    same(data, 2 + MOST, || {
        let mut codec = LengthDelimitedCodec::builder();
        let codec = codec.length_field_length(2).max_frame_length(MOST).new_codec();
        CodecProtocol::new(codec, |frame: bytes::BytesMut| frame.freeze())
    });
    // A line end may have two bytes, of which the codec counts none.
    same(data, MOST + 2, || {
        CodecProtocol::new(LinesCodec::new_with_max_length(MOST), |line: String| line)
    });
}

/// A protocol, and a check that it waits for more only while fewer than `most` bytes have arrived.
struct Bounded<P> {
    inner: P,
    most: usize,
}

impl<P: Protocol> Protocol for Bounded<P> {
    type Request<'a> = P::Request<'a>;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<P::Request<'a>>, Malformed> {
        let decoded = self.inner.decode(input)?;
        Ok(match decoded {
            Decoded::More => {
                assert!(input.len() < self.most, "{} bytes, and it waits for more", input.len());
                Decoded::More
            }
            Decoded::Whole { request, taken } => Decoded::Whole { request, taken },
            Decoded::Head { request, taken, body } => {
                Decoded::Head { request, taken, body: Box::new(BoundedBody(body)) }
            }
        })
    }

    fn respond(&mut self, request: P::Request<'_>, exchange: &mut Exchange<'_>) -> Next {
        self.inner.respond(request, exchange)
    }

    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        self.inner.finish(rest, reply);
    }

    fn refuse(&mut self, malformed: &Malformed, rest: &[u8], exchange: &mut Exchange<'_>) {
        self.inner.refuse(malformed, rest, exchange);
    }
}

/// A body decoder, and a check that it consumes all input, so that nothing accumulates before it.
#[derive(Debug)]
struct BoundedBody(Box<dyn BodyDecoder>);

impl BodyDecoder for BoundedBody {
    fn decode(&mut self, input: &[u8]) -> Result<Piece, Malformed> {
        let piece = self.0.decode(input)?;
        assert!(piece.taken > 0 || piece.end || input.is_empty(), "it waits for more");
        assert!(piece.data.start <= piece.data.end && piece.data.end <= piece.taken);
        Ok(piece)
    }

    fn interim_response(&mut self) -> Option<&'static [u8]> {
        self.0.interim_response()
    }
}
