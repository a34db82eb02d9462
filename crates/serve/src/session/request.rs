//! From the bytes that have come to the replies.

use std::io;
use std::time::SystemTime;

use overlapped::time::{Duration, Instant, timeout};
use overlapped_wire::{BodyDecoder, Decoded, Exchange, Malformed, Next, Protocol, Record};

use super::End;
use super::body::{self, Body};
use super::input::Input;
use super::outbox::{FULL, Outbox};
use crate::Connection;

/// What a request may be long before its deadline grows with it. No head is as long.
const HEAD_MAX: usize = 64 << 10;

/// The surroundings of a request.
struct Desk<'a, P> {
    connection: &'a Connection,
    protocol: &'a mut P,
    outbox: &'a mut Outbox,
    /// One look at the clock serves all that came together.
    now: SystemTime,
    record: Option<Record>,
}

/// What becomes of the input. (A request borrows from it until it has been answered.)
enum Step {
    More,
    /// So many bytes were a request; and whether more than these bytes has come.
    Took(usize, Next, bool),
    /// This is what came behind a body.
    Rest(Input, Next),
}

/// Answers all requests that are there, and waits for the rest of one that has begun. On success
/// the input is empty and everything has been sent.
pub(super) fn answer_all<P: Protocol>(
    connection: &Connection,
    protocol: &mut P,
    input: &mut Input,
    outbox: &mut Outbox,
) -> Result<(), End> {
    let record = connection.venue().log.is_some().then(Record::default);
    let mut desk = Desk { connection, protocol, outbox, now: SystemTime::now(), record };
    let mut answered = 0;
    let mut begun = None;
    while !input.is_empty() {
        let step = match desk.protocol.decode(input.bytes()) {
            Ok(Decoded::More) => Step::More,
            Ok(Decoded::Whole { request, taken }) => {
                // Whatever has come is answered; the last of it is the last reply.
                let (is_all, is_brimful) = (taken == input.len(), input.is_brimful());
                let is_behind = is_all && is_brimful && desk.is_more_behind();
                Step::Took(taken, desk.answer(request, is_all && !is_behind)?, is_behind)
            }
            Ok(Decoded::Head { request, taken, body }) => {
                let (rest, next) = desk.answer_head(request, &input.bytes()[taken..], body)?;
                Step::Rest(rest, next)
            }
            Err(malformed) => return Err(desk.refuse(&malformed, input.bytes())),
        };
        let next = match step {
            Step::More => {
                desk.outbox.flush(connection)?;
                let begun = *begun.get_or_insert_with(Instant::now);
                desk.fetch_more(input, begun)?;
                continue;
            }
            Step::Took(taken, next, is_behind) => {
                input.consume(taken);
                if is_behind && next == Next::Keep {
                    desk.outbox.flush(connection)?;
                    desk.fetch_more(input, Instant::now())?;
                }
                next
            }
            Step::Rest(rest, next) => {
                *input = rest;
                next
            }
        };
        if next == Next::Close {
            desk.outbox.flush(connection)?;
            return Err(End::Closed);
        }
        begun = None;
        answered += 1;
        if answered >= connection.venue().limits.pipeline || desk.outbox.len() > FULL {
            desk.outbox.flush(connection)?;
            answered = 0;
        }
    }
    desk.outbox.flush(connection)
}

impl<P: Protocol> Desk<'_, P> {
    /// Waits for more of a request that began to come at `begun`.
    fn fetch_more(&mut self, input: &mut Input, begun: Instant) -> Result<(), End> {
        let limits = &self.connection.venue().limits;
        if input.len() >= limits.request_bytes {
            let malformed = Malformed::new("a request is longer than the limit", "");
            return Err(self.refuse(&malformed, input.bytes()));
        }
        let above = input.len().saturating_sub(HEAD_MAX) as u64;
        let time = limits.head.saturating_add(limits.time_for(above));
        let space = input.space(limits.request_bytes);
        match self
            .connection
            .receive(space, time.saturating_sub(begun.elapsed()))
            .map_err(End::from)
        {
            Ok(0) => {
                self.protocol.finish(input.bytes(), &mut self.outbox.reply);
                self.send_all()?;
                Err(End::Finished)
            }
            Ok(read) => {
                input.filled(read);
                self.now = SystemTime::now();
                Ok(())
            }
            Err(End::Late) => {
                self.say_late(input.bytes())?;
                Err(End::Late)
            }
            Err(end) => Err(end),
        }
    }

    /// `last`: nothing has come behind it.
    fn answer(&mut self, request: P::Request<'_>, last: bool) -> Result<Next, End> {
        let (is_leaving, is_stopping) = self.ends();
        let begin = self.begin();
        let next = self.respond(request, last && is_leaving, &mut io::empty());
        self.end(begin)?;
        Ok(if last && is_stopping { Next::Close } else { next })
    }

    /// Answers a request whose body is still to be read. What is left of the input.
    fn answer_head(
        &mut self,
        request: P::Request<'_>,
        come: &[u8],
        decoder: Box<dyn BodyDecoder>,
    ) -> Result<(Input, Next), End> {
        self.outbox.seal();
        let begin = self.begin();
        let owed = std::mem::take(&mut self.outbox.ready);
        let mut body = Body::new(self.connection, decoder, come, owed);
        let (is_leaving, is_stopping) = self.ends();
        let next = self.respond(request, is_leaving, &mut body);
        std::mem::swap(&mut self.outbox.ready, body.owed());
        match body.state() {
            body::State::Malformed(malformed) => {
                self.outbox.reply.truncate(0, 0);
                return Err(self.refuse(&malformed.clone(), b""));
            }
            body::State::Late => {
                self.outbox.reply.truncate(0, 0);
                self.say_late(b"a body")?;
                return Err(End::Late);
            }
            _ => {}
        }
        self.end(begin)?;
        let is_last = is_stopping || next == Next::Close;
        if is_last || !body.skip_what_has_come() {
            self.outbox.flush(self.connection)?;
            if is_last || !body.skip(self.connection.venue().limits.unread_bytes) {
                return Ok((Input::new(), Next::Close));
            }
        }
        Ok((body.into_input(), Next::Keep))
    }

    /// Whether this reply should be the last one, and whether it must. While the server leaves, who
    /// cannot tell the client goes on. Asked before the reply: it has said what was true then.
    fn ends(&self) -> (bool, bool) {
        (self.connection.is_leaving(), self.connection.is_stopping())
    }

    /// Whether a reply that should be the last one is not: bytes that did not fit into the input
    /// have come behind its request.
    fn is_more_behind(&self) -> bool {
        let (is_leaving, is_stopping) = self.ends();
        (is_leaving || is_stopping) && self.connection.has_more()
    }

    fn respond(&mut self, request: P::Request<'_>, last: bool, body: &mut dyn io::Read) -> Next {
        let reply = &mut self.outbox.reply;
        let record = self.record.as_mut();
        let mut exchange = Exchange { now: self.now, last, body, reply, record };
        let protocol = &mut *self.protocol;
        match self.connection.venue().limits.request {
            None => protocol.respond(request, &mut exchange),
            Some(limit) => timeout(limit, || protocol.respond(request, &mut exchange)),
        }
    }
}

impl<P: Protocol> Desk<'_, P> {
    /// Before a request is answered.
    fn begin(&mut self) -> Begin {
        self.connection.venue().counts.requests.add(1);
        let logged = self.record.is_some();
        Begin { bytes: self.outbox.reply.bytes().len(), at: logged.then(Instant::now) }
    }

    /// After it.
    fn end(&mut self, begin: Begin) -> Result<(), End> {
        let bytes = self.outbox.reply.bytes().len() - begin.bytes;
        let parts = self.outbox.settle(self.connection)?;
        if let Some(at) = begin.at {
            self.log(bytes as u64 + parts, at.elapsed());
        }
        Ok(())
    }

    /// One line for the access log.
    fn log(&mut self, bytes: u64, took: Duration) {
        let (Some(log), Some(record)) = (&self.connection.venue().log, &mut self.record) else {
            return;
        };
        log.note(self.connection.peer(), self.now, record, bytes, took);
        record.request.clear();
        record.status = None;
        record.fields.clear();
    }

    /// Answers what was malformed; how the session ends.
    fn refuse(&mut self, malformed: &Malformed, rest: &[u8]) -> End {
        let begin = self.outbox.reply.bytes().len();
        let (now, reply, record) = (self.now, &mut self.outbox.reply, self.record.as_mut());
        let body = &mut io::empty();
        let mut exchange = Exchange { now, last: true, body, reply, record };
        self.protocol.refuse(malformed, rest, &mut exchange);
        self.log((self.outbox.reply.bytes().len() - begin) as u64, Duration::ZERO);
        match self.send_all() {
            Ok(()) => End::Malformed(malformed.reason().to_owned()),
            Err(end) => end,
        }
    }

    /// Answers what did not come in time.
    fn say_late(&mut self, rest: &[u8]) -> Result<(), End> {
        let begin = self.outbox.reply.bytes().len();
        let (now, reply, record) = (self.now, &mut self.outbox.reply, self.record.as_mut());
        let body = &mut io::empty();
        self.protocol.late(rest, &mut Exchange { now, last: true, body, reply, record });
        self.log((self.outbox.reply.bytes().len() - begin) as u64, Duration::ZERO);
        self.send_all()
    }

    fn send_all(&mut self) -> Result<(), End> {
        self.outbox.settle(self.connection)?;
        self.outbox.flush(self.connection)
    }
}

/// What was there before a request was answered.
struct Begin {
    bytes: usize,
    at: Option<Instant>,
}
