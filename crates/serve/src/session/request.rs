//! The request loop: decodes requests out of the read buffer and collects their replies.

use std::io;
use std::time::SystemTime;

use overlapped::time::{Instant, timeout};
use overlapped_wire::{BodyDecoder, Decoded, Exchange, Malformed, Next, Protocol};

use super::body::{Body, Progress};
use super::buffers::{FULL, ReadBuffer, WriteBuffer};
use super::pending_lines::PendingLines;
use super::{Connection, End, reply};

/// The size in bytes of a request above which its deadline grows. With the default limits no head
/// is that large.
const HEAD_MAX: usize = 64 << 10;

/// The state of the request loop.
struct RequestLoop<'a, P> {
    connection: &'a Connection,
    protocol: &'a mut P,
    output: &'a mut WriteBuffer,
    /// The time of the last read: the clock is read once for all requests that arrived together.
    now: SystemTime,
    lines: PendingLines<'a>,
}

/// One step of the loop: what to do with the read buffer. (A request borrows from the buffer until
/// it has been answered.)
enum Step {
    /// Wait for more bytes.
    NeedMore,
    /// A request was answered.
    Answered {
        taken: usize,
        next: Next,
        /// More bytes have arrived than the buffer could hold.
        has_more: bool,
    },
    /// A request with a body was answered; these bytes came behind the body.
    AfterBody(ReadBuffer, Next),
}

/// Answers all requests in `input`, and waits for the rest of one that has begun. On success
/// `input` is empty and every reply has been sent.
pub(super) fn answer_all<P: Protocol>(
    connection: &Connection,
    protocol: &mut P,
    input: &mut ReadBuffer,
    output: &mut WriteBuffer,
) -> Result<(), End> {
    let lines = PendingLines::new(connection);
    let mut state = RequestLoop { connection, protocol, output, now: SystemTime::now(), lines };
    let mut answered = 0;
    let mut begun = None;
    while !input.is_empty() {
        let step = match state.protocol.decode(input.bytes()) {
            Ok(Decoded::More) => Step::NeedMore,
            Ok(Decoded::Whole { request, taken }) => {
                // Every request that has arrived is answered; only the last one's reply may be the
                // connection's last.
                let (is_all, is_full) = (taken == input.len(), input.is_full());
                let has_more = is_all && is_full && state.must_end_but_has_more();
                let next = state.answer(request, is_all && !has_more);
                let next = next.map_err(|end| end.with_request(input.bytes()))?;
                Step::Answered { taken, next, has_more }
            }
            Ok(Decoded::Head { request, taken, body }) => {
                let answered = state.answer_head(request, &input.bytes()[taken..], body);
                let (rest, next) = answered.map_err(|end| end.with_request(input.bytes()))?;
                Step::AfterBody(rest, next)
            }
            Err(malformed) => return Err(state.refuse(&malformed, input.bytes())),
        };
        let next = match step {
            Step::NeedMore => {
                state.flush()?;
                let begun = *begun.get_or_insert_with(Instant::now);
                state.fetch_more(input, begun)?;
                continue;
            }
            Step::Answered { taken, next, has_more } => {
                input.consume(taken);
                if has_more && next == Next::Keep {
                    state.flush()?;
                    state.fetch_more(input, Instant::now())?;
                }
                next
            }
            Step::AfterBody(rest, next) => {
                *input = rest;
                next
            }
        };
        if next == Next::Close {
            state.flush()?;
            return Err(End::Closed);
        }
        begun = None;
        answered += 1;
        if answered >= connection.context().limits.pipeline || state.output.len() > FULL {
            state.flush()?;
            answered = 0;
        }
    }
    state.flush()
}

impl<P: Protocol> RequestLoop<'_, P> {
    /// Waits for more of a request that began to come at `begun`.
    fn fetch_more(&mut self, input: &mut ReadBuffer, begun: Instant) -> Result<(), End> {
        let limits = &self.connection.context().limits;
        if input.len() >= limits.request_bytes {
            let malformed = Malformed::new("the request is longer than the limit", "");
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
                self.lines.add_partial(self.now, input.bytes());
                self.protocol.finish(input.bytes(), &mut self.output.reply);
                reply::send_parts(self.connection, self.output)?;
                self.flush()?;
                Err(End::Finished)
            }
            Ok(read) => {
                input.fill(read);
                self.now = SystemTime::now();
                Ok(())
            }
            Err(End::TimedOut) => {
                self.reply_timed_out(input.bytes())?;
                Err(End::TimedOut)
            }
            Err(end) => {
                self.lines.add_partial(self.now, input.bytes());
                Err(end)
            }
        }
    }

    /// Answers a request. With `last`, no byte has arrived behind it.
    fn answer(&mut self, request: P::Request<'_>, last: bool) -> Result<Next, End> {
        let (is_leaving, is_stopping) = self.ends();
        let begin = self.begin();
        let next = self.respond(request, last && is_leaving, &mut io::empty());
        self.end(begin)?;
        Ok(if last && is_stopping { Next::Close } else { next })
    }

    /// Answers a request whose body is still to be read; returns the bytes behind the body.
    fn answer_head(
        &mut self,
        request: P::Request<'_>,
        received: &[u8],
        decoder: Box<dyn BodyDecoder>,
    ) -> Result<(ReadBuffer, Next), End> {
        self.output.seal();
        let begin = self.begin();
        let unsent = std::mem::take(&mut self.output.ready);
        let mut body = Body::new(self.connection, decoder, received, unsent);
        let (is_leaving, is_stopping) = self.ends();
        let next = self.respond(request, is_leaving, &mut body);
        std::mem::swap(&mut self.output.ready, body.unsent());
        match body.progress() {
            Progress::Malformed(malformed) => {
                self.output.reply.truncate(0, 0);
                return Err(self.refuse(&malformed.clone(), b""));
            }
            Progress::TimedOut => {
                self.output.reply.truncate(0, 0);
                self.reply_timed_out(b"a body")?;
                return Err(End::TimedOut);
            }
            _ => {}
        }
        self.end(begin)?;
        let is_last = is_stopping || next == Next::Close;
        if is_last || !body.skip_received() {
            self.flush()?;
            if is_last || !body.skip(self.connection.context().limits.unread_bytes) {
                return Ok((ReadBuffer::new(), Next::Close));
            }
        }
        Ok((body.into_buffer(), Next::Keep))
    }

    /// Returns whether the next reply should be the last one, and whether it must be. While the
    /// server is leaving, a protocol that cannot tell its client goes on. To be called before the
    /// reply, which states what was true then.
    fn ends(&self) -> (bool, bool) {
        (self.connection.is_leaving(), self.connection.is_stopping())
    }

    /// Tells whether the next reply should be the last one but cannot be, because bytes that did
    /// not fit into the read buffer have arrived behind its request.
    fn must_end_but_has_more(&self) -> bool {
        let (is_leaving, is_stopping) = self.ends();
        (is_leaving || is_stopping) && self.connection.has_more()
    }

    fn respond(&mut self, request: P::Request<'_>, last: bool, body: &mut dyn io::Read) -> Next {
        let reply = &mut self.output.reply;
        let record = self.lines.record();
        let mut exchange = Exchange { now: self.now, last, body, reply, record };
        let protocol = &mut *self.protocol;
        match self.connection.context().limits.request {
            None => protocol.respond(request, &mut exchange),
            Some(limit) => timeout(limit, || protocol.respond(request, &mut exchange)),
        }
    }
}

impl<P: Protocol> RequestLoop<'_, P> {
    /// Begins a reply; returns the number of bytes of the replies before it.
    fn begin(&mut self) -> usize {
        self.connection.context().counters.requests.add(1);
        self.lines.begin(self.now);
        self.output.reply.bytes().len()
    }

    /// Ends a reply that began at `begin`.
    fn end(&mut self, begin: usize) -> Result<(), End> {
        let reply = self.output.reply.bytes().len() - begin;
        self.lines.reply(self.output.len() - reply);
        let resolved = reply::send_parts(self.connection, self.output);
        self.lines.end(resolved.is_ok().then_some(self.output.len()));
        resolved
    }

    /// Sends all replies.
    fn flush(&mut self) -> Result<(), End> {
        reply::flush(self.connection, self.output)?;
        // After an error, the drop writes the lines.
        self.lines.write();
        Ok(())
    }

    /// Answers a malformed request; returns how the session ends.
    fn refuse(&mut self, malformed: &Malformed, rest: &[u8]) -> End {
        match self.reply_last(|protocol, exchange| protocol.refuse(malformed, rest, exchange)) {
            Ok(()) => End::Malformed(malformed.reason().to_owned()),
            Err(end) => end,
        }
    }

    /// Answers a request that did not arrive in time.
    fn reply_timed_out(&mut self, rest: &[u8]) -> Result<(), End> {
        self.reply_last(|protocol, exchange| protocol.timed_out(rest, exchange))
    }

    /// Sends a last reply.
    fn reply_last(&mut self, write: impl FnOnce(&mut P, &mut Exchange<'_>)) -> Result<(), End> {
        self.lines.begin(self.now);
        let begin = self.output.reply.bytes().len();
        let (now, reply, record) = (self.now, &mut self.output.reply, self.lines.record());
        let body = &mut io::empty();
        write(self.protocol, &mut Exchange { now, last: true, body, reply, record });
        self.end(begin)?;
        self.flush()
    }
}
