//! A socket, and what a drain must know of its session.

use std::cell::{Cell, OnceCell};

use overlapped::Tasklet;
use overlapped::net::send_queue;
use overlapped::time::{Duration, Instant};

use super::Socket;

/// What a session does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for a request, the first or the next.
    Idle,
    /// A request is in work.
    Busy,
    /// It belongs to a plain function, which says nothing of that.
    Plain,
}

/// The stage that a client has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// It has sent nothing yet.
    New,
    /// It is in the middle of a handshake: of TLS, or of a proxy's header.
    Greeting,
    /// It may ask, and has not yet.
    Met,
    /// It has had an answer.
    Asked,
}

/// The time in which a new client's first bytes may be on their way.
const FIRST_WORDS: Duration = Duration::from_millis(200);

/// One connection's socket, shared by its session and by whoever ends it from outside.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: Socket,
    pub(crate) state: Cell<State>,
    /// The connection's beginning, or the end of its handshake; while the server stops, the end of
    /// the last request.
    pub(crate) idle_since: Cell<Instant>,
    /// The number of its last request on its thread; before the first one, of its beginning.
    pub(crate) turn: Cell<u64>,
    pub(crate) progress: Cell<Progress>,
    /// It has been asked to leave, to make room.
    pub(crate) evicted: Cell<bool>,
    tasklet: OnceCell<Tasklet<()>>,
    /// Bytes that the kernel has taken of us.
    sent: Cell<u64>,
    /// Bytes that the client had taken when it was last asked.
    taken: Cell<u64>,
}

impl Link {
    pub(crate) fn new(socket: Socket) -> Link {
        Link {
            socket,
            state: Cell::new(State::Idle),
            idle_since: Cell::new(Instant::now()),
            turn: Cell::new(0),
            progress: Cell::new(Progress::New),
            evicted: Cell::new(false),
            tasklet: OnceCell::new(),
            sent: Cell::new(0),
            taken: Cell::new(0),
        }
    }

    /// Whose session it is.
    pub(crate) fn set_tasklet(&self, tasklet: Tasklet<()>) {
        // There is one only.
        let _ = self.tasklet.set(tasklet);
    }

    /// The kernel has taken so many bytes.
    pub(crate) fn add_sent(&self, bytes: usize) {
        self.sent.set(self.sent.get() + bytes as u64);
    }

    /// Tells whether bytes are on their way that the client's system has not acknowledged.
    pub(crate) fn has_unread(&self) -> bool {
        send_queue(&self.socket).is_ok_and(|queued| queued > 0)
    }

    /// Bytes that the client's system has acknowledged since this was last called.
    pub(crate) fn newly_taken(&self) -> u64 {
        // Sockets that do not tell: then what the kernel takes counts.
        let queued = send_queue(&self.socket).unwrap_or(0);
        // Of a Unix socket the kernel counts its overhead, too, so it may seem to go back.
        let taken = self.sent.get().saturating_sub(queued as u64).max(self.taken.get());
        taken - self.taken.replace(taken)
    }

    /// Tells whether its client can be expected to connect anew: it waits between two requests, or
    /// has sent none yet and is not in the middle of a handshake.
    pub(crate) fn can_leave(&self) -> bool {
        let is_between = match self.progress.get() {
            Progress::New | Progress::Met => self.idle_since.get().elapsed() >= FIRST_WORDS,
            Progress::Greeting => false,
            Progress::Asked => true,
        };
        self.state.get() == State::Idle && is_between && !self.evicted.get()
    }

    /// Has the session end, unless a request comes first.
    pub(crate) fn evict(&self) {
        self.evicted.set(true);
        self.kill();
    }

    /// Has the session end at its next wait.
    pub(crate) fn kill(&self) {
        if let Some(tasklet) = self.tasklet.get() {
            tasklet.kill();
        }
    }
}
