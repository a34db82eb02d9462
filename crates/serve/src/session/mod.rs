//! One connection's conversation: the heart of the server.
//!
//! ```text
//! converse ─▶ await_request   idle: a small buffer and this stack, nothing else
//!    ▲             │ bytes
//!    │        answer_all      decode, respond, decode, respond …; one Outbox for all the replies
//!    │             │ the input is exhausted, or many replies are there
//!    └──────── Outbox::flush  one send
//! ```
//!
//! While it waits for a request, a session may be killed (`State::Idle`; see `server/drain.rs`);
//! with a request in work it is not: it sees that the server is stopping, says so in its last
//! reply, and ends by itself. Whatever way a session ends, an [`End`] says why, and
//! `close` does what that calls for.

mod body;
mod close;
mod file;
mod input;
mod journal;
mod outbox;
mod pace;
mod request;

use std::io;
use std::panic::{catch_unwind, resume_unwind};
use std::time::SystemTime;

use overlapped::task::{TaskletExit, yield_now};
use overlapped::time::{Duration, Instant};
use overlapped_wire::{Exchange, Protocol};

use crate::Connection;
use crate::stream::{Progress, State, is_late};
pub(crate) use close::close;
use input::Input;
pub(crate) use outbox::Outbox;
pub(crate) use pace::{Pace, time_for};
use request::answer_all;

/// Idle for so long: a buffer that has grown is given back.
const WHILE: Duration = Duration::from_secs(1);

/// Bytes of a request's first line that the log shows.
const LINE_MAX: usize = 1_000;

/// Why a session has ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The client has finished.
    Finished,
    /// We have: the reply was the last one.
    Closed,
    /// No request came for too long.
    Idle,
    /// A request or its body took too long to come.
    Late,
    /// The client reads a reply too slowly.
    Stuck,
    /// A client broke the protocol; this is how.
    Malformed(String),
    /// A reply could not be finished: the client must notice. The text is the request's first
    /// line, where that is known.
    Broken(io::Error, String),
    /// The connection failed.
    Failed(io::Error),
}

impl End {
    /// The end at a reply that cannot be finished.
    fn broken(error: io::Error) -> End {
        End::Broken(error, String::new())
    }

    /// Names the request whose reply was broken off; `input` begins with it.
    fn of_request(self, input: &[u8]) -> End {
        let End::Broken(error, _) = self else { return self };
        let line = input.split(|byte| matches!(byte, b'\r' | b'\n')).find(|line| !line.is_empty());
        let line = line.unwrap_or_default();
        let line = String::from_utf8_lossy(&line[..line.len().min(LINE_MAX)]).into_owned();
        End::Broken(error, line)
    }
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        match error.kind() {
            _ if is_late(&error) => End::Late,
            // TLS, without a farewell: what requests are has ends of their own.
            io::ErrorKind::UnexpectedEof => End::Finished,
            _ => End::Failed(error),
        }
    }
}

/// Speaks `protocol` with the client until one of them ends it.
pub(crate) fn converse<P: Protocol>(connection: &Connection, protocol: &mut P) -> End {
    let mut input = Input::new();
    loop {
        match await_request(connection, &mut input) {
            Ok(()) => {}
            Err(end) => return part(connection, protocol, end),
        }
        let mut outbox = connection.venue().worker.take_outbox();
        let answered = answer_all(connection, protocol, &mut input, &mut outbox);
        connection.venue().worker.give_outbox(outbox);
        if let Err(end) = answered {
            return end;
        }
    }
}

/// Waits for the first bytes of the next request.
fn await_request(connection: &Connection, input: &mut Input) -> Result<(), End> {
    let limits = &connection.venue().limits;
    let link = connection.link();
    let mut limit = limits.idle;
    if link.state.get() == State::Busy {
        link.state.set(State::Idle);
        link.progress.set(Progress::Asked);
        link.turn.set(connection.venue().worker.next_turn());
        if connection.is_stopping() {
            link.idle_since.set(Instant::now());
        }
    } else {
        // The first request's time is counted from the beginning of the connection.
        limit = limit.min(limits.head);
    }
    if input.is_wide() && limit > WHILE {
        match receive(connection, input, WHILE) {
            Err(End::Late) => {
                input.shrink();
                limit -= WHILE;
            }
            received => return received,
        }
    }
    // A client that still takes the last reply is not idle.
    let mut pace = Pace::of_reader(limits);
    loop {
        match receive(connection, input, limit) {
            Err(End::Late) if link.has_unread() && !limit.is_zero() => {
                pace.go_on(link.newly_taken(), limit);
                if pace.is_over() {
                    return Err(End::Idle);
                }
            }
            Err(End::Late) => return Err(End::Idle),
            received => return received,
        }
    }
}

fn receive(connection: &Connection, input: &mut Input, limit: Duration) -> Result<(), End> {
    let read = connection.receive(input.space(usize::MAX), limit)?;
    if read == 0 {
        return Err(End::Finished);
    }
    input.filled(read);
    let link = connection.link();
    link.state.set(State::Busy);
    if connection.is_stopping() || link.evicted.replace(false) {
        outlive_kill();
    }
    Ok(())
}

/// Bytes have come, and so has the kill for those who idle: they were quicker, so they are
/// answered. (A cancel decides nothing; the kill is pending until the next wait.)
#[cold]
fn outlive_kill() {
    if let Err(payload) = catch_unwind(yield_now)
        && !payload.is::<TaskletExit>()
    {
        resume_unwind(payload);
    }
}

/// The end between two requests: the protocol may have something to say about it.
fn part<P: Protocol>(connection: &Connection, protocol: &mut P, end: End) -> End {
    let mut outbox = connection.venue().worker.take_outbox();
    match end {
        End::Finished => protocol.finish(b"", &mut outbox.reply),
        End::Idle => {
            let (now, body, reply) = (SystemTime::now(), &mut io::empty(), &mut outbox.reply);
            protocol.timed_out(b"", &mut Exchange { now, last: true, body, reply, record: None });
        }
        _ => {}
    }
    let said = outbox.settle(connection).and_then(|()| outbox.flush(connection));
    connection.venue().worker.give_outbox(outbox);
    match said {
        Ok(()) => end,
        Err(error) => error,
    }
}

/// Time left until `deadline`.
fn left(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now())
}
