//! A driver in memory. It keeps the promises of the crate's documentation. Bytes that were not
//! taken are passed in again, with those that have arrived since. A reply is complete before the
//! next request is answered. After `Close` or `Malformed` nothing more is decoded.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod log;
pub(crate) mod messages;

use std::io::{self, Read, Seek as _};
use std::time::{Duration, SystemTime};

use overlapped_wire::http::{Answer, Content, Http, Limits, Service};
use overlapped_wire::{
    AccessRecord, BodyDecoder, Decoded, Exchange, Malformed, Next, Part, Protocol, Reply,
};

/// The end of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The client ended its stream; `rest` is an incomplete request, `reply` the protocol's last
    /// words.
    Finished { rest: Vec<u8>, reply: Vec<u8> },
    /// The client ended its stream within a body.
    Gone,
    /// The protocol closed the connection after a reply.
    Closed,
    /// The protocol refused the input: the reason, the part of the body read before, and the reply.
    Malformed { reason: String, body: Vec<u8>, reply: Vec<u8> },
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// The end of the request and its body in the input.
    pub(crate) end: usize,
    pub(crate) reply: Vec<u8>,
    pub(crate) record: AccessRecord,
}

/// The outcome of a conversation, as the driver sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) served: Vec<Served>,
    pub(crate) end: End,
}

impl Outcome {
    /// Concatenates all that the client gets.
    pub(crate) fn output(&self) -> Vec<u8> {
        let mut output: Vec<u8> = self.served.iter().flat_map(|one| one.reply.clone()).collect();
        match &self.end {
            End::Finished { reply, .. } | End::Malformed { reply, .. } => output.extend(reply),
            End::Gone | End::Closed => {}
        }
        output
    }
}

/// Returns the time on every driver's clock: Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// The visible prefix of an input, which grows from cut to cut.
struct Arrival<'a> {
    whole: &'a [u8],
    cuts: &'a mut dyn Iterator<Item = usize>,
    visible: usize,
    taken: usize,
}

impl Arrival<'_> {
    /// Makes more bytes visible; `false` at the end.
    fn more(&mut self) -> bool {
        if self.visible == self.whole.len() {
            return false;
        }
        let next = self.cuts.next().unwrap_or(self.whole.len());
        assert!(next > self.visible && next <= self.whole.len(), "cuts grow");
        self.visible = next;
        true
    }
}

/// The reader that a driver makes of a body.
struct Body<'a, 'b> {
    arrival: &'a mut Arrival<'b>,
    decoder: Option<Box<dyn BodyDecoder>>,
    ready: std::ops::Range<usize>,
    ended: bool,
    gone: bool,
    malformed: Option<Malformed>,
    asked: bool,
    interim_responses: usize,
    given: Vec<u8>,
    /// The maximum number of bytes that one read returns.
    read_bytes_max: usize,
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.ready.is_empty() {
                let length = buf.len().min(self.ready.len()).min(self.read_bytes_max);
                let begin = self.ready.start;
                buf[..length].copy_from_slice(&self.arrival.whole[begin..begin + length]);
                self.ready.start += length;
                self.given.extend_from_slice(&buf[..length]);
                return Ok(length);
            }
            let Some(decoder) = self.decoder.as_mut().filter(|_| !self.ended) else {
                return Ok(0);
            };
            if self.malformed.is_some() || self.gone {
                return Err(io::ErrorKind::InvalidData.into());
            }
            if !self.asked {
                self.asked = true;
                self.interim_responses += usize::from(decoder.interim_response().is_some());
                assert!(decoder.interim_response().is_none(), "one invitation");
            }
            let begin = self.arrival.taken;
            let input = &self.arrival.whole[begin..self.arrival.visible];
            match decoder.decode(input) {
                Ok(piece) => {
                    assert!(piece.data.end <= piece.taken && piece.taken <= input.len());
                    self.ready = begin + piece.data.start..begin + piece.data.end;
                    self.arrival.taken += piece.taken;
                    self.ended = piece.end;
                    if piece.taken == 0 && !piece.end && !self.arrival.more() {
                        self.gone = true;
                    }
                }
                Err(malformed) => self.malformed = Some(malformed),
            }
        }
    }
}

/// Passes `whole` to the protocol, in parts that end at the cuts, and ends the stream.
pub(crate) fn drive<P: Protocol>(
    protocol: &mut P,
    whole: &[u8],
    cuts: &mut dyn Iterator<Item = usize>,
) -> Outcome {
    let mut arrival = Arrival { whole, cuts, visible: 0, taken: 0 };
    let mut served = Vec::new();
    let end = loop {
        let begin = arrival.taken;
        let rest = &whole[begin..arrival.visible];
        let (request, taken, decoder) = match protocol.decode(rest) {
            Ok(Decoded::More) if arrival.more() => continue,
            Ok(Decoded::More) => {
                let mut reply = Reply::default();
                protocol.finish(rest, &mut reply);
                break End::Finished { rest: rest.to_vec(), reply: sent(&mut reply) };
            }
            Ok(Decoded::Whole { request, taken }) => (request, taken, None),
            Ok(Decoded::Head { request, taken, body }) => (request, taken, Some(body)),
            Err(malformed) => break refuse(protocol, &malformed, Vec::new(), rest),
        };
        assert!((1..=rest.len()).contains(&taken), "took {taken} bytes of {}", rest.len());
        arrival.taken += taken;
        match answer(protocol, request, decoder, &mut arrival) {
            Ok((one, next)) => {
                served.push(one);
                if next == Next::Close {
                    break End::Closed;
                }
            }
            Err(Stop::Gone) => break End::Gone,
            Err(Stop::Malformed(malformed, body)) => break refuse(protocol, &malformed, body, b""),
        }
    };
    Outcome { served, end }
}

/// The reason for which a request's answer is not sent.
enum Stop {
    Gone,
    /// Holds the part of the body that was read before.
    Malformed(Malformed, Vec<u8>),
}

/// Answers one request and discards the unread rest of its body.
fn answer<P: Protocol>(
    protocol: &mut P,
    request: P::Request<'_>,
    decoder: Option<Box<dyn BodyDecoder>>,
    arrival: &mut Arrival<'_>,
) -> Result<(Served, Next), Stop> {
    let mut reply = Reply::default();
    let mut record = AccessRecord::default();
    let mut body = Body {
        arrival,
        decoder,
        ready: 0..0,
        ended: false,
        gone: false,
        malformed: None,
        asked: false,
        interim_responses: 0,
        given: Vec::new(),
        read_bytes_max: 7,
    };
    let mut exchange = Exchange {
        now: now(),
        last: false,
        body: &mut body,
        reply: &mut reply,
        record: Some(&mut record),
    };
    let next = protocol.respond(request, &mut exchange);
    if next == Next::Keep {
        let _ = io::copy(&mut body, &mut io::sink());
    }
    let Body { malformed, gone, interim_responses, given, arrival, .. } = body;
    match malformed {
        Some(malformed) => Err(Stop::Malformed(malformed, given)),
        None if gone => Err(Stop::Gone),
        None => {
            assert!(interim_responses <= 1);
            Ok((Served { end: arrival.taken, reply: sent(&mut reply), record }, next))
        }
    }
}

fn refuse<P: Protocol>(protocol: &mut P, malformed: &Malformed, body: Vec<u8>, rest: &[u8]) -> End {
    let mut reply = Reply::default();
    let mut exchange = Exchange {
        now: now(),
        last: false,
        body: &mut io::empty(),
        reply: &mut reply,
        record: None,
    };
    protocol.refuse(malformed, rest, &mut exchange);
    End::Malformed { reason: malformed.reason().to_owned(), body, reply: sent(&mut reply) }
}

/// Renders a reply and its parts as bytes.
pub(crate) fn sent(reply: &mut Reply) -> Vec<u8> {
    let (bytes, parts) = reply.split();
    let (mut sent, mut begin) = (Vec::new(), 0);
    for (at, part) in parts {
        sent.extend_from_slice(&bytes[begin..at]);
        begin = at;
        match part {
            Part::File { file, offset, len } => {
                let mut piece = vec![0; len as usize];
                let mut file = &*file;
                file.seek(io::SeekFrom::Start(offset)).unwrap();
                file.read_exact(&mut piece).unwrap();
                sent.extend_from_slice(&piece);
            }
            Part::Reader { reader, len: Some(len) } => {
                assert_eq!(reader.take(len).read_to_end(&mut sent).unwrap() as u64, len);
            }
            Part::Reader { mut reader, len: None } | Part::Endless(mut reader) => {
                reader.read_to_end(&mut sent).unwrap();
            }
        }
    }
    sent.extend_from_slice(&bytes[begin..]);
    reply.clear(0);
    sent
}

/// Drives the protocol with the whole input at once.
pub(crate) fn whole_input<P: Protocol>(protocol: &mut P, whole: &[u8]) -> Outcome {
    drive(protocol, whole, &mut std::iter::empty())
}

/// Drives the protocol with the input cut once.
pub(crate) fn in_two_parts<P: Protocol>(protocol: &mut P, whole: &[u8], cut: usize) -> Outcome {
    drive(protocol, whole, &mut std::iter::once(cut))
}

/// Drives the protocol with one byte at a time.
pub(crate) fn byte_by_byte<P: Protocol>(protocol: &mut P, whole: &[u8]) -> Outcome {
    drive(protocol, whole, &mut (1..=whole.len()))
}

/// Answers with the request that it received, body included, in plain text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mirror;

impl Service for Mirror {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        let mut text = format!("{} {}\n", request.method(), request.uri()).into_bytes();
        for (name, value) in request.headers() {
            text.extend_from_slice(name.as_str().as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.push(b'\n');
        }
        text.push(b'\n');
        // After an error the driver discards the answer.
        let _ = body.read_to_end(&mut text);
        http::Response::new(Content::Bytes(text.into()))
    }
}

/// Makes an HTTP protocol with default limits and a service that reads every body.
pub(crate) fn mirror() -> Http<Mirror> {
    Http::with_limits(Mirror, Limits::default())
}

/// Parses the status of a reply.
pub(crate) fn status(reply: &[u8]) -> u16 {
    assert!(reply.starts_with(b"HTTP/1.1 "), "{}", reply.escape_ascii());
    std::str::from_utf8(&reply[9..12]).unwrap().parse().unwrap()
}
