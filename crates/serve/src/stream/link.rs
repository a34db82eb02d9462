//! A socket, and what a drain must know of its session.

use std::cell::{Cell, OnceCell};

use overlapped::Tasklet;
use overlapped::time::Instant;

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

/// One connection's socket, shared by its session and by whoever ends it from outside.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) socket: Socket,
    pub(crate) state: Cell<State>,
    /// The connection's beginning; while the server stops, the end of the last request.
    pub(crate) idle_since: Cell<Instant>,
    tasklet: OnceCell<Tasklet<()>>,
}

impl Link {
    pub(crate) fn new(socket: Socket) -> Link {
        Link {
            socket,
            state: Cell::new(State::Idle),
            idle_since: Cell::new(Instant::now()),
            tasklet: OnceCell::new(),
        }
    }

    /// Whose session it is.
    pub(crate) fn set_tasklet(&self, tasklet: Tasklet<()>) {
        // There is one only.
        let _ = self.tasklet.set(tasklet);
    }

    /// Has the session end at its next wait.
    pub(crate) fn kill(&self) {
        if let Some(tasklet) = self.tasklet.get() {
            tasklet.kill();
        }
    }
}
