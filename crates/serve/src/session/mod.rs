//! Sessions: the conversation between a client and a protocol.
//!
//! ```text
//! ProtocolHandler::serve   makes the protocol of a connection (handler)
//!    ▼
//! converse ─▶ await_request   idle: a small buffer and this stack, nothing else
//!    ▲             │ bytes
//!    │        answer_all      decode, respond, decode, respond …; one write buffer for all replies
//!    │             │ the read buffer is empty, or there are many replies
//!    └──────── flush          one send
//! ```
//!
//! While it waits for a request (`Activity::Idle`), a session may be killed; see `server/drain.rs`.
//! While it answers one it is not: it notices that the server is stopping, says so in its last
//! reply, and ends by itself. An [`End`] says why a session has ended, and `close` acts by it.
//!
//! ```text
//! connection  reads and writes, by TLS or not         context  what connections share
//! handler     what a listener runs per connection     request  the request loop
//! buffers/    read buffer, write buffer   body  a request's body   reply/  sends replies
//! ```

mod body;
mod buffers;
mod close;
mod connection;
mod context;
mod end;
mod handler;
mod pending_lines;
mod reply;
mod request;

use std::io;
use std::panic::{catch_unwind, resume_unwind};
use std::time::SystemTime;

use overlapped::task::{TaskletExit, yield_now};
use overlapped::time::{Duration, Instant};
use overlapped_wire::{Exchange, Protocol};

use crate::state::{Activity, MinimumRate, Phase};
use buffers::ReadBuffer;
pub(crate) use close::close;
pub use connection::Connection;
pub(crate) use context::{ListenerContext, ThreadContext};
pub(crate) use end::End;
pub(crate) use handler::{ConnectionHandler, FunctionHandler, ProtocolHandler};
use request::answer_all;

/// The time that a connection must be idle before its read buffer shrinks.
const SHRINK_AFTER: Duration = Duration::from_secs(1);

/// Speaks `protocol` with the client until one of them ends the conversation.
pub(crate) fn converse<P: Protocol>(connection: &Connection, protocol: &mut P) -> End {
    let mut input = ReadBuffer::new();
    loop {
        match await_request(connection, &mut input) {
            Ok(()) => {}
            Err(end) => return end_between_requests(connection, protocol, end),
        }
        let write_buffers = &connection.context().thread.write_buffers;
        let mut output = write_buffers.take();
        let answered = answer_all(connection, protocol, &mut input, &mut output);
        write_buffers.give_back(output);
        if let Err(end) = answered {
            return end;
        }
    }
}

/// Waits for the first bytes of the next request.
fn await_request(connection: &Connection, input: &mut ReadBuffer) -> Result<(), End> {
    let limits = &connection.context().limits;
    let state = &connection.socket().state;
    let mut limit = limits.idle;
    if state.activity.get() == Activity::Request {
        state.activity.set(Activity::Idle);
        state.phase.set(Phase::Answered);
        state.number.set(connection.context().thread.state.next_number());
        if connection.is_stopping() {
            state.idle_since.set(Instant::now());
        }
    } else {
        // The time for the first request's head begins with the connection.
        limit = limit.min(limits.head);
    }
    if input.has_grown() && limit > SHRINK_AFTER {
        match receive(connection, input, SHRINK_AFTER) {
            Err(End::TimedOut) => {
                input.shrink();
                limit -= SHRINK_AFTER;
            }
            received => return received,
        }
    }
    // A client that still takes the last reply is not idle.
    let socket = connection.socket();
    let mut rate = MinimumRate::of_reader(limits);
    loop {
        match receive(connection, input, limit) {
            Err(End::TimedOut) if socket.has_unacknowledged() && !limit.is_zero() => {
                rate.continue_wait(socket.newly_acknowledged(), limit);
                if rate.is_exhausted() {
                    return Err(End::Idle);
                }
            }
            Err(End::TimedOut) => return Err(End::Idle),
            received => return received,
        }
    }
}

/// Receives the first bytes of a request.
fn receive(connection: &Connection, input: &mut ReadBuffer, limit: Duration) -> Result<(), End> {
    let read = connection.receive(input.space(usize::MAX), limit)?;
    if read == 0 {
        return Err(End::Finished);
    }
    input.fill(read);
    let state = &connection.socket().state;
    state.activity.set(Activity::Request);
    if connection.is_stopping() || state.evicted.replace(false) {
        discard_kill();
    }
    Ok(())
}

/// Consumes the kill of an idle session that arrived at the same time as bytes: these were quicker,
/// so they are answered. (A cancel decides nothing; the kill is pending until the next wait.)
#[cold]
fn discard_kill() {
    if let Err(payload) = catch_unwind(yield_now)
        && !payload.is::<TaskletExit>()
    {
        resume_unwind(payload);
    }
}

/// Ends a session between two requests: the protocol may write a last reply.
fn end_between_requests<P: Protocol>(connection: &Connection, protocol: &mut P, end: End) -> End {
    let write_buffers = &connection.context().thread.write_buffers;
    let mut output = write_buffers.take();
    match end {
        End::Finished => protocol.finish(b"", &mut output.reply),
        End::Idle => {
            let (now, body, reply) = (SystemTime::now(), &mut io::empty(), &mut output.reply);
            protocol.timed_out(b"", &mut Exchange { now, last: true, body, reply, record: None });
        }
        _ => {}
    }
    let sent = reply::send_parts(connection, &mut output)
        .and_then(|()| reply::flush(connection, &mut output));
    write_buffers.give_back(output);
    match sent {
        Ok(()) => end,
        Err(error) => error,
    }
}
