//! The state that the whole server shares, and that of one of its threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use overlapped::sync::Event;
use overlapped::time::Instant;

use crate::locks::IgnorePoison;

use super::counters::{Counters, Gauge};
use super::listener::ListenerState;
use super::shortage::Shortage;

/// The state of the whole server.
#[derive(Debug)]
pub(crate) struct ServerState {
    pub(crate) begin: Instant,
    /// Set when the server is about to stop: it reports that it is not ready any more, and replies
    /// that can tell their clients say that they are the last ones.
    pub(crate) leaving: Event,
    /// Set when the server stops: its threads drain.
    pub(crate) stop: Event,
    /// True when the drain is to end at once.
    pub(crate) abort: AtomicBool,
    /// True when a new process (hot restart) accepts from the same queues: the connections that
    /// wait there belong to it.
    pub(crate) replaced: AtomicBool,
    pub(crate) connections: Arc<Gauge>,
    /// Acceptors and requests that wait for a descriptor.
    pub(crate) shortage: Arc<Shortage>,
    registry: Mutex<Vec<(Arc<ListenerState>, Arc<Counters>)>>,
}

impl ServerState {
    pub(crate) fn new() -> ServerState {
        ServerState {
            begin: Instant::now(),
            leaving: Event::new(),
            stop: Event::new(),
            abort: AtomicBool::new(false),
            replaced: AtomicBool::new(false),
            connections: Arc::default(),
            shortage: Arc::default(),
            registry: Mutex::default(),
        }
    }

    pub(crate) fn is_aborted(&self) -> bool {
        self.abort.load(Relaxed)
    }

    pub(crate) fn is_replaced(&self) -> bool {
        self.replaced.load(Relaxed)
    }

    /// Registers new counters for one listener on one thread.
    pub(crate) fn new_counters(&self, listener: &Arc<ListenerState>) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.registry().push((Arc::clone(listener), Arc::clone(&counters)));
        counters
    }

    /// Calls `visit` with all registered counters.
    pub(crate) fn each_counters(&self, mut visit: impl FnMut(&ListenerState, &Counters)) {
        self.registry().iter().for_each(|(listener, counters)| visit(listener, counters));
    }

    fn registry(&self) -> MutexGuard<'_, Vec<(Arc<ListenerState>, Arc<Counters>)>> {
        self.registry.lock().ignore_poison()
    }
}

/// The state that the connections of one thread share.
#[derive(Debug, Default)]
pub(crate) struct ThreadState {
    /// The thread's copy of [`ServerState::leaving`].
    pub(crate) leaving: Cell<bool>,
    /// The thread's copy of [`ServerState::stop`].
    pub(crate) stopping: Cell<bool>,
    sequence: Cell<u64>,
}

impl ThreadState {
    /// Returns the next number for the begin of a connection or the end of a request.
    pub(crate) fn next_number(&self) -> u64 {
        self.sequence.set(self.sequence.get() + 1);
        self.sequence.get()
    }
}
