//! The public completion port: owned things only, no tasklets needed.
//!
//! ```text
//! Request ──submit──▶ InFlight in the table ──▶ Driver ──▶ kernel
//! Event   ◀──wait──── taken out again       ◀── Driver ◀──
//! ```
//!
//! Ownership: from `submit` until the event, the port holds the descriptor (so that its number
//! cannot be used again) and the memory, as raw parts that nothing else can reach. The event gives
//! both back. So no safe code can free, move or look at memory that the kernel writes to:
//!
//! - an operation ends: the event is built from its parts;
//! - the port is dropped: the driver is drained, the events are built and dropped, which also
//!   closes sockets accepted at the last moment;
//! - the port is forgotten: its memory is leaked, never freed;
//! - the driver fails for good: the same.
//!
//! Transfers at a file's cursor take turns, first come first served: one in flight per file
//! (`cursors`).
//!
//! The port is `!Send`, because the ring belongs to the thread that opened it.

mod cursors;
mod event;
mod in_flight;
mod request;

use std::io;
use std::marker::PhantomData;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::driver::{Driver, PortConfig};
use crate::op::{Completion, Outcome, Submitted, Table, Token};
use crate::sys::descriptor;

pub use crate::driver::{Finding, Notifier, PortChoice, Report, report};
pub use crate::sys::descriptor::raise_fd_limit;
use cursors::CursorQueues;
pub use event::{Done, Event, OperationId};
use in_flight::InFlight;
use request::Operation;
pub use request::{Descriptor, Request};

/// The maximum number of operations in flight on a port.
const LIMIT: usize = 1 << 20;

/// The port's number, so that an id of one port is not taken for an id of another.
static PORTS: AtomicU64 = AtomicU64::new(0);

/// A completion port: requests go in, each with a key of your choice; events come out when they
/// have completed.
///
/// ```
/// use overlapped::port::{Done, Port, Request};
/// use std::io::Write;
///
/// let (reader, mut writer) = std::io::pipe()?;
/// let mut port = Port::open()?;
/// port.submit(7, Request::read(reader, Vec::with_capacity(100)))?;
/// writer.write_all(b"hello")?;
///
/// let mut events = Vec::new();
/// while events.is_empty() {
///     port.wait(None, &mut events)?;
/// }
/// let event = events.remove(0);
/// assert_eq!(event.key, 7);
/// assert!(matches!(event.result, Ok(Done::Transferred(5))));
/// assert_eq!(event.buffer.unwrap(), b"hello");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Dropping
/// Cancels what is in flight and waits until the kernel has let go of it. That takes as long as
/// the slowest operation that cannot be cancelled, such as a read that a disk has begun.
pub struct Port {
    /// Declared before `in_flight`, so that the memory is still there while the driver is dropped.
    driver: Driver,
    in_flight: Table<InFlight>,
    limit: usize,
    number: u64,
    /// Requests that wait for their turn at a file's cursor.
    cursors: CursorQueues,
    /// Requests that ended inside `submit`, or waiting for a cursor.
    ended: Vec<Completion>,
    /// The driver's completions; empty between two waits.
    completions: Vec<Completion>,
    thread: PhantomData<*const ()>,
}

impl Port {
    /// Opens a port with [`PortChoice::Auto`].
    ///
    /// # Errors
    /// `InvalidInput` if the variable `OVERLAPPED_PORT` has a value that is no backend's name.
    /// Otherwise the system's reason: no descriptors or memory left.
    pub fn open() -> io::Result<Port> {
        Port::open_with(PortChoice::Auto)
    }

    /// Opens a port on the chosen backend.
    ///
    /// # Errors
    /// Those of [`Port::open`]; for [`PortChoice::Uring`] also why io_uring was refused, and the
    /// remedy.
    pub fn open_with(choice: PortChoice) -> io::Result<Port> {
        Port::open_with_config(&PortConfig::new(choice), LIMIT)
    }

    pub(crate) fn open_with_config(config: &PortConfig, limit: usize) -> io::Result<Port> {
        Ok(Port {
            driver: Driver::open(config)?,
            in_flight: Table::new(limit),
            limit,
            number: PORTS.fetch_add(1, Ordering::Relaxed),
            cursors: CursorQueues::default(),
            ended: Vec::new(),
            completions: Vec::new(),
            thread: PhantomData,
        })
    }

    /// Returns the name of the backend: `"uring"` or `"poll"`.
    pub fn name(&self) -> &'static str {
        self.driver.name()
    }

    /// Counts the requests that have been submitted and have not come back as events.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Returns the number of requests that can be in flight at once: 1,048,576.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Starts `request`. Its [`Event`] comes out of [`Port::wait`] and carries `key`.
    ///
    /// # Errors
    /// The request has not been started and is dropped:
    /// - `QuotaExceeded`: [`Port::limit`] requests are in flight;
    /// - `InvalidInput`: the request makes no sense, as its constructor describes: no room in the
    ///   buffer, a start behind its end.
    ///
    /// The operation's own result or error is in the event.
    pub fn submit(&mut self, key: u64, request: Request) -> io::Result<OperationId> {
        request.check()?;
        let (request, file) = request.resolve()?;
        self.prepare_descriptor(&request)?;
        if self.in_flight.len() == self.limit {
            let text = "too many operations are in flight: wait for some to complete";
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, text));
        }
        let Ok(token) = self.in_flight.insert(InFlight::new(key, request, file)) else {
            unreachable!("the table has the same limit");
        };
        if file.is_none_or(|file| self.cursors.enter(file, token)) {
            self.start(token);
        }
        Ok(OperationId { port: self.number, token })
    }

    /// Submits the request `token` to the driver, and then those that wait for the same cursor, as
    /// long as they end at once.
    fn start(&mut self, token: Token) {
        let mut next = Some(token);
        while let Some(token) = next.take() {
            let op = self.in_flight.get_mut(token).expect("it was inserted and has not ended").op();
            // SAFETY: `InFlight` keeps the descriptor open and its memory valid, and gives no other
            // code access, until `finish` takes it out of the table, which happens when the
            // completion is there. If the port is forgotten, the table is, too. The table made the
            // token.
            if let Submitted::Done(outcome) = unsafe { self.driver.submit(token, &op) } {
                next = self.end(token, outcome);
            }
        }
    }

    /// Records the end of `token`. Returns the request that may use its cursor now.
    fn end(&mut self, token: Token, outcome: Outcome) -> Option<Token> {
        self.ended.push(Completion { token, outcome });
        let file = self.in_flight.get_mut(token).expect("it has not been handed out").file?;
        self.cursors.leave(file, token)
    }

    /// Sets `O_NONBLOCK` if the readiness backend needs it: `accept` and `connect` have no flag
    /// of their own against waiting.
    fn prepare_descriptor(&self, request: &Request) -> io::Result<()> {
        match (&self.driver, &request.operation) {
            (Driver::Poll(_), Operation::Accept | Operation::Connect(_)) => {
                descriptor::set_nonblocking(request.descriptor.as_fd(), true)
            }
            _ => Ok(()),
        }
    }

    /// Cancels an operation. Its event comes all the same and says what happened: it may have
    /// succeeded first. Does nothing for operations whose event has come, or of another port.
    pub fn cancel(&mut self, id: OperationId) {
        if id.port != self.number {
            return;
        }
        if let Some(request) = self.in_flight.get(id.token) {
            let file = request.file;
            if file.is_some_and(|file| self.cursors.give_up(file, id.token)) {
                self.ended.push(Completion { token: id.token, outcome: Outcome::CANCELLED });
            } else {
                self.driver.cancel(id.token);
            }
        }
    }

    /// Appends the events of completed requests and returns their number. If none has, waits until
    /// one does, a [`Notifier`] is used, or `timeout` has passed (`None`: without limit; zero: not
    /// at all). May return early with nothing.
    ///
    /// # Errors
    /// The backend itself failed. Operations in flight stay in flight.
    pub fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Event>) -> io::Result<usize> {
        let timeout = if self.ended.is_empty() { timeout } else { Some(Duration::ZERO) };
        let mut completions = std::mem::take(&mut self.completions);
        let waited = self.driver.wait(timeout, &mut completions);
        for Completion { token, outcome } in completions.drain(..) {
            if let Some(next) = self.end(token, outcome) {
                self.start(next);
            }
        }
        self.completions = completions;
        let mut ended = std::mem::take(&mut self.ended);
        let count = ended.len();
        out.reserve(count);
        for completion in ended.drain(..) {
            out.push(self.finish(completion));
        }
        self.ended = ended;
        // The events that have come are returned all the same; the next wait fails again.
        if count == 0 { waited.map(|()| 0) } else { Ok(count) }
    }

    fn finish(&mut self, completion: Completion) -> Event {
        let request = self.in_flight.remove(completion.token);
        let request = request.expect("every completion belongs to one request in flight");
        let id = OperationId { port: self.number, token: completion.token };
        request.finish(id, completion.outcome)
    }

    /// Returns a handle that ends a [`Port::wait`] early, from any thread.
    pub fn notifier(&self) -> Notifier {
        self.driver.notifier()
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        let mut completions = std::mem::take(&mut self.ended);
        let waiting = self.cursors.take_waiting();
        completions.extend(waiting.map(|token| Completion { token, outcome: Outcome::CANCELLED }));
        self.driver.drain(&mut completions);
        for completion in completions {
            drop(self.finish(completion));
        }
    }
}

impl std::fmt::Debug for Port {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Port")
            .field("name", &self.name())
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}
