//! The state that a session shares with code that ends it from outside (a drain, an eviction).

use std::cell::{Cell, OnceCell};

use overlapped::Tasklet;
use overlapped::time::{Duration, Instant};

/// The current activity of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activity {
    /// It waits for a request, the first or the next.
    Idle,
    /// It answers a request.
    Request,
    /// A plain function has the connection; its requests are unknown.
    Function,
}

/// The phase that a connection has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The client has sent nothing yet.
    New,
    /// The client is in the middle of a TLS handshake or of a PROXY header.
    Handshake,
    /// The handshake is done; the client has had no reply yet.
    Ready,
    /// The client has had a reply.
    Answered,
}

/// The time in which a new client's first bytes may be on their way.
const FIRST_BYTES: Duration = Duration::from_millis(200);

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    pub(crate) activity: Cell<Activity>,
    /// The begin of the connection, or the end of its handshake; while the server stops, the end of
    /// the last request.
    pub(crate) idle_since: Cell<Instant>,
    /// The number of the last request among those of the thread; before the first request, that of
    /// the connection's begin. See [`ThreadState::next_number`](super::ThreadState::next_number).
    pub(crate) number: Cell<u64>,
    pub(crate) phase: Cell<Phase>,
    /// True when the session was asked to end, to free its descriptor.
    pub(crate) evicted: Cell<bool>,
    tasklet: OnceCell<Tasklet<()>>,
}

impl ConnectionState {
    pub(crate) fn new() -> ConnectionState {
        ConnectionState {
            activity: Cell::new(Activity::Idle),
            idle_since: Cell::new(Instant::now()),
            number: Cell::new(0),
            phase: Cell::new(Phase::New),
            evicted: Cell::new(false),
            tasklet: OnceCell::new(),
        }
    }

    /// Sets the tasklet that runs the session.
    pub(crate) fn set_tasklet(&self, tasklet: Tasklet<()>) {
        // Only the connection task's start calls this, once.
        let _ = self.tasklet.set(tasklet);
    }

    /// Tells whether the client can be expected to connect anew: it is between two requests, or has
    /// sent none yet and is not in the middle of a handshake.
    pub(crate) fn can_be_evicted(&self) -> bool {
        let is_between = match self.phase.get() {
            Phase::New | Phase::Ready => self.idle_since.get().elapsed() >= FIRST_BYTES,
            Phase::Handshake => false,
            Phase::Answered => true,
        };
        self.activity.get() == Activity::Idle && is_between && !self.evicted.get()
    }

    /// Ends the session, unless a request arrives first.
    pub(crate) fn evict(&self) {
        self.evicted.set(true);
        self.kill();
    }

    /// Ends the session at its next wait.
    pub(crate) fn kill(&self) {
        if let Some(tasklet) = self.tasklet.get() {
            tasklet.kill();
        }
    }
}
