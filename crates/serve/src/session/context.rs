//! The contexts that connections share: on a thread, and of a listener on a thread.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::buffers::WriteBufferPool;
use crate::state::{Counters, Limits, ListenerState, Reserve, ServerState, ThreadState};
use crate::stream::OpenSockets;
use crate::telemetry::{Log, RateLimited};

/// The rate-limited warnings about clients, each kind limited by itself.
#[derive(Debug, Default)]
pub(crate) struct ClientWarnings {
    /// Warnings about clients without a PROXY header.
    pub(crate) no_header: RateLimited,
    /// Warnings about addresses with too many connections.
    pub(crate) too_many: RateLimited,
    /// Warnings about plain HTTP requests to a TLS listener.
    pub(crate) plain_http: RateLimited,
}

/// The context that all connections of one thread share.
#[derive(Debug, Default)]
pub(crate) struct ThreadContext {
    pub(crate) state: ThreadState,
    pub(crate) sockets: Rc<OpenSockets>,
    pub(crate) write_buffers: WriteBufferPool,
}

/// The context that the connections of one listener share on one thread.
#[derive(Debug)]
pub(crate) struct ListenerContext {
    pub(crate) server: Arc<ServerState>,
    pub(crate) listener: Arc<ListenerState>,
    pub(crate) thread: Rc<ThreadContext>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) log: Option<Log>,
    pub(crate) warnings: RefCell<ClientWarnings>,
    /// Descriptors for connections that must not wait for one.
    pub(crate) reserve: Reserve,
    /// A copy of the listener's limits, nearer than those.
    pub(crate) limits: Limits,
}
