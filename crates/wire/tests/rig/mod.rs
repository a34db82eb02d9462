//! A driver in memory, which keeps the promises that the crate's documentation makes: bytes that
//! were not taken are shown again with what has come meanwhile, a reply is complete before the next
//! request is answered, after `Close` or `Malformed` nothing is decoded any more.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub(crate) mod log;
pub(crate) mod messages;
pub(crate) mod random;

use std::io::{self, Read};
use std::time::{Duration, SystemTime};

use overlapped_wire::http::{Answer, Content, Http, Limits, Service};
use overlapped_wire::{
    AccessRecord, BodyDecoder, Decoded, Exchange, Malformed, Next, Part, Protocol, Reply,
};

/// How a conversation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// The client sends nothing any more; so much was left of a request, and the last words.
    Finished { rest: Vec<u8>, reply: Vec<u8> },
    /// The client stopped in the middle of a body.
    Gone,
    /// By the protocol, after a reply.
    Closed,
    /// With its reason, what was read of the body before, and what was sent then.
    Malformed { reason: String, body: Vec<u8>, reply: Vec<u8> },
}

/// One request that was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Served {
    /// Where it ends in the input, its body included.
    pub(crate) end: usize,
    pub(crate) reply: Vec<u8>,
    pub(crate) record: AccessRecord,
}

/// What a driver saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) served: Vec<Served>,
    pub(crate) end: End,
}

impl Seen {
    /// All that the client gets.
    pub(crate) fn output(&self) -> Vec<u8> {
        let mut output: Vec<u8> = self.served.iter().flat_map(|one| one.reply.clone()).collect();
        match &self.end {
            End::Finished { reply, .. } | End::Malformed { reply, .. } => output.extend(reply),
            End::Gone | End::Closed => {}
        }
        output
    }
}

/// The time on every driver's clock: Sun, 06 Nov 1994 08:49:37 GMT.
pub(crate) fn now() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777)
}

/// What has come so far of a whole that is known, growing by the cuts.
struct Arrival<'a> {
    whole: &'a [u8],
    cuts: &'a mut dyn Iterator<Item = usize>,
    visible: usize,
    taken: usize,
}

impl Arrival<'_> {
    /// More has come; `false` at the end.
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
    invitations: usize,
    given: Vec<u8>,
    /// The most that is given at once.
    at_once: usize,
}

impl Read for Body<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.ready.is_empty() {
                let length = buf.len().min(self.ready.len()).min(self.at_once);
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
                self.invitations += usize::from(decoder.interim_response().is_some());
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

/// Sends `whole` to the protocol, ending at each of the cuts and at its end, and closes.
pub(crate) fn drive<P: Protocol>(
    protocol: &mut P,
    whole: &[u8],
    cuts: &mut dyn Iterator<Item = usize>,
) -> Seen {
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
    Seen { served, end }
}

/// Why a request's answer is not sent.
enum Stop {
    Gone,
    /// With what was read of the body before.
    Malformed(Malformed, Vec<u8>),
}

/// Answers one request and throws away what nobody has read of its body.
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
        invitations: 0,
        given: Vec::new(),
        at_once: 7,
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
    let Body { malformed, gone, invitations, given, arrival, .. } = body;
    match malformed {
        Some(malformed) => Err(Stop::Malformed(malformed, given)),
        None if gone => Err(Stop::Gone),
        None => {
            assert!(invitations <= 1);
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

/// What the parts of a reply are on the wire.
pub(crate) fn sent(reply: &mut Reply) -> Vec<u8> {
    let (bytes, parts) = reply.split();
    let (mut sent, mut begin) = (Vec::new(), 0);
    for (at, part) in parts {
        sent.extend_from_slice(&bytes[begin..at]);
        begin = at;
        match part {
            Part::File { file, offset, len } => {
                let mut piece = vec![0; len as usize];
                std::os::unix::fs::FileExt::read_exact_at(&*file, &mut piece, offset).unwrap();
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

/// All at once.
pub(crate) fn at_once<P: Protocol>(protocol: &mut P, whole: &[u8]) -> Seen {
    drive(protocol, whole, &mut std::iter::empty())
}

/// Cut at one place.
pub(crate) fn in_two<P: Protocol>(protocol: &mut P, whole: &[u8], cut: usize) -> Seen {
    drive(protocol, whole, &mut std::iter::once(cut))
}

/// Byte by byte.
pub(crate) fn dripping<P: Protocol>(protocol: &mut P, whole: &[u8]) -> Seen {
    drive(protocol, whole, &mut (1..=whole.len()))
}

/// Answers with what it was asked, body included, in plain text.
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
        // What has come before an error is no answer: the driver drops it.
        let _ = body.read_to_end(&mut text);
        http::Response::new(Content::Bytes(text.into()))
    }
}

/// HTTP with usual limits, and a service that reads every body.
pub(crate) fn mirror() -> Http<Mirror> {
    Http::with_limits(Mirror, Limits::default())
}

/// The status of the last response in `output`.
pub(crate) fn status(reply: &[u8]) -> u16 {
    assert!(reply.starts_with(b"HTTP/1.1 "), "{}", reply.escape_ascii());
    std::str::from_utf8(&reply[9..12]).unwrap().parse().unwrap()
}

/// `quick` rounds normally, `whole` under torture.
pub(crate) fn rounds(quick: usize, whole: usize) -> usize {
    if std::env::var_os("OVERLAPPED_TORTURE").is_some_and(|value| value == "1") {
        whole
    } else {
        quick
    }
}
