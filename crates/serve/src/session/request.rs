//! From the bytes that have come to the replies.

use std::io;
use std::time::SystemTime;

use overlapped::time::{Instant, timeout};
use overlapped_wire::{BodyDecoder, Decoded, Exchange, Malformed, Next, Protocol};

use super::End;
use super::body::{self, Body};
use super::input::Input;
use super::journal::Journal;
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
    journal: Journal<'a>,
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
    let journal = Journal::new(connection);
    let mut desk = Desk { connection, protocol, outbox, now: SystemTime::now(), journal };
    let mut answered = 0;
    let mut begun = None;
    while !input.is_empty() {
        let step = match desk.protocol.decode(input.bytes()) {
            Ok(Decoded::More) => Step::More,
            Ok(Decoded::Whole { request, taken }) => {
                // Whatever has come is answered; the last of it is the last reply.
                let (is_all, is_brimful) = (taken == input.len(), input.is_brimful());
                let is_behind = is_all && is_brimful && desk.is_more_behind();
                let next = desk.answer(request, is_all && !is_behind);
                Step::Took(taken, next.map_err(|end| end.of_request(input.bytes()))?, is_behind)
            }
            Ok(Decoded::Head { request, taken, body }) => {
                let answered = desk.answer_head(request, &input.bytes()[taken..], body);
                let (rest, next) = answered.map_err(|end| end.of_request(input.bytes()))?;
                Step::Rest(rest, next)
            }
            Err(malformed) => return Err(desk.refuse(&malformed, input.bytes())),
        };
        let next = match step {
            Step::More => {
                desk.flush()?;
                let begun = *begun.get_or_insert_with(Instant::now);
                desk.fetch_more(input, begun)?;
                continue;
            }
            Step::Took(taken, next, is_behind) => {
                input.consume(taken);
                if is_behind && next == Next::Keep {
                    desk.flush()?;
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
            desk.flush()?;
            return Err(End::Closed);
        }
        begun = None;
        answered += 1;
        if answered >= connection.venue().limits.pipeline || desk.outbox.len() > FULL {
            desk.flush()?;
            answered = 0;
        }
    }
    desk.flush()
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
                self.journal.break_off(self.now, input.bytes());
                self.protocol.finish(input.bytes(), &mut self.outbox.reply);
                self.outbox.settle(self.connection)?;
                self.flush()?;
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
            Err(end) => {
                self.journal.break_off(self.now, input.bytes());
                Err(end)
            }
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
            self.flush()?;
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
        let record = self.journal.record();
        let mut exchange = Exchange { now: self.now, last, body, reply, record };
        let protocol = &mut *self.protocol;
        match self.connection.venue().limits.request {
            None => protocol.respond(request, &mut exchange),
            Some(limit) => timeout(limit, || protocol.respond(request, &mut exchange)),
        }
    }
}

impl<P: Protocol> Desk<'_, P> {
    /// Before a request is answered. How many bytes of replies there are.
    fn begin(&mut self) -> usize {
        self.connection.venue().counts.requests.add(1);
        self.journal.begin(self.now);
        self.outbox.reply.bytes().len()
    }

    /// After it.
    fn end(&mut self, begin: usize) -> Result<(), End> {
        let reply = self.outbox.reply.bytes().len() - begin;
        self.journal.reply(self.outbox.len() - reply);
        let settled = self.outbox.settle(self.connection);
        self.journal.end(settled.is_ok().then_some(self.outbox.len()));
        settled
    }

    /// Sends all.
    fn flush(&mut self) -> Result<(), End> {
        self.outbox.flush(self.connection)?;
        // What could not be sent is seen to by the drop.
        self.journal.write();
        Ok(())
    }

    /// Answers what was malformed; how the session ends.
    fn refuse(&mut self, malformed: &Malformed, rest: &[u8]) -> End {
        match self.say(|protocol, exchange| protocol.refuse(malformed, rest, exchange)) {
            Ok(()) => End::Malformed(malformed.reason().to_owned()),
            Err(end) => end,
        }
    }

    /// Answers what did not come in time.
    fn say_late(&mut self, rest: &[u8]) -> Result<(), End> {
        self.say(|protocol, exchange| protocol.timed_out(rest, exchange))
    }

    /// Sends a last answer.
    fn say(&mut self, say: impl FnOnce(&mut P, &mut Exchange<'_>)) -> Result<(), End> {
        self.journal.begin(self.now);
        let begin = self.outbox.reply.bytes().len();
        let (now, reply, record) = (self.now, &mut self.outbox.reply, self.journal.record());
        let body = &mut io::empty();
        say(self.protocol, &mut Exchange { now, last: true, body, reply, record });
        self.end(begin)?;
        self.flush()
    }
}
