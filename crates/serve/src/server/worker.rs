//! One thread of a server: its acceptors, its evictions, its drain.

use std::cell::RefCell;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;

use overlapped::time::Duration;
use overlapped::{Builder, Remote, Tasklet, spawn};

use super::drain::drain;
use crate::listen::{ListeningSocket, accept_forever, accept_queued};
use crate::session::{ConnectionHandler, ListenerContext, ThreadContext};
use crate::state::{Counters, ListenerState, Reserve, ServerState};
use crate::stream::OpenSockets;
use crate::telemetry::Log;

/// The number of idle connections that are evicted at a time.
const EVICTIONS: usize = 16;
/// The number of connections to a monitoring listener that get a descriptor even during a shortage.
const RESERVE: usize = 2;

/// The part of a listener that one thread serves, on its way to that thread.
pub(super) struct ThreadListener {
    pub(super) state: Arc<ListenerState>,
    pub(super) sockets: Vec<OwnedFd>,
    pub(super) handler: Box<dyn ConnectionHandler>,
    pub(super) counters: Arc<Counters>,
}

/// An acceptor's tasklet, and what it was started with.
struct Acceptor {
    tasklet: Tasklet<()>,
    context: Rc<ListenerContext>,
    socket: Rc<ListeningSocket>,
    handler: Rc<dyn ConnectionHandler>,
}

/// Serves until the server stops, then drains; returns how many sessions did not end in time.
pub(super) fn serve(
    server: &Arc<ServerState>,
    listeners: Vec<ThreadListener>,
    log: Option<Log>,
    grace: Duration,
) -> usize {
    let thread = Rc::new(ThreadContext::default());
    let mut acceptors = open(server, &thread, listeners, log);
    // The end of the run kills it.
    drop(spawn(evict_on_request(server, &thread.sockets)));
    server.leaving.wait();
    thread.state.leaving.set(true);
    if server.is_replaced() {
        // The connections in the queues, and all further ones, belong to the new process.
        acceptors.drain(..).for_each(|acceptor| drop(acceptor.stop()));
    }
    server.stop.wait();
    thread.state.stopping.set(true);
    for acceptor in acceptors {
        let (context, socket, handler) = acceptor.stop();
        accept_queued(&context, &socket, &handler);
    }
    drain(&thread.sockets, server, grace)
}

/// Returns a loop that evicts idle connections whenever descriptors are requested.
fn evict_on_request(server: &Arc<ServerState>, sockets: &Rc<OpenSockets>) -> impl FnOnce() + use<> {
    let (requested, sockets) = (server.shortage.register_thread(), Rc::clone(sockets));
    move || {
        loop {
            requested.wait();
            requested.clear();
            evict(&sockets);
        }
    }
}

/// Evicts the connections that have been between two requests, or without one, for longest.
fn evict(sockets: &OpenSockets) {
    let mut idle = sockets.all();
    idle.retain(|socket| socket.state.can_be_evicted());
    idle.sort_unstable_by_key(|socket| socket.state.number.get());
    tracing::debug!(idle = idle.len(), "no descriptors left: idle connections are closed");
    idle.iter().take(EVICTIONS).for_each(|socket| socket.state.evict());
}

impl Acceptor {
    /// Ends the tasklet.
    fn stop(self) -> (Rc<ListenerContext>, Rc<ListeningSocket>, Rc<dyn ConnectionHandler>) {
        let Acceptor { tasklet, context, socket, handler } = self;
        tasklet.kill();
        // An acceptor never returns, so the result is always that of the kill.
        let _killed = tasklet.join();
        (context, socket, handler)
    }
}

/// A guard that kills acceptors when it is dropped.
struct KillOnDrop(Vec<Remote>);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        self.0.iter().for_each(Remote::kill);
    }
}

/// Serves the monitoring listeners, until it is killed or a new process serves them.
pub(super) fn monitor(server: &Arc<ServerState>, listeners: Vec<ThreadListener>) {
    let thread = Rc::default();
    let acceptors = open(server, &thread, listeners, None);
    let _guard = KillOnDrop(acceptors.iter().map(|acceptor| acceptor.tasklet.remote()).collect());
    server.leaving.wait();
    // Replies now tell clients to connect anew, which leads them to the new process, if any.
    thread.state.leaving.set(true);
    if server.is_replaced() {
        return;
    }
    for acceptor in acceptors {
        let _killed = acceptor.tasklet.join();
    }
}

fn open(
    server: &Arc<ServerState>,
    thread: &Rc<ThreadContext>,
    listeners: Vec<ThreadListener>,
    log: Option<Log>,
) -> Vec<Acceptor> {
    let mut acceptors = Vec::new();
    for ThreadListener { state, sockets, handler, counters } in listeners {
        let handler: Rc<dyn ConnectionHandler> = Rc::from(handler);
        let context = Rc::new(ListenerContext {
            server: Arc::clone(server),
            limits: state.limits.clone(),
            thread: Rc::clone(thread),
            counters,
            log: log.clone(),
            warnings: RefCell::default(),
            reserve: Reserve::new(if state.is_monitoring { RESERVE } else { 0 }),
            listener: state,
        });
        for socket in sockets {
            let socket = Rc::new(ListeningSocket::new(&context.listener.address, socket));
            acceptors.push(start_acceptor(Rc::clone(&context), socket, Rc::clone(&handler)));
        }
    }
    acceptors
}

fn start_acceptor(
    context: Rc<ListenerContext>,
    socket: Rc<ListeningSocket>,
    handler: Rc<dyn ConnectionHandler>,
) -> Acceptor {
    let accept = {
        let (context, socket, handler) =
            (Rc::clone(&context), Rc::clone(&socket), Rc::clone(&handler));
        move || match accept_forever(&context, &socket, &handler) {}
    };
    let name = format!("accepts on {}", context.listener.address);
    let tasklet = match Builder::new().name(name).spawn(accept) {
        Ok(tasklet) => tasklet,
        Err(error) => panic!("cannot spawn an acceptor: {error}"),
    };
    Acceptor { tasklet, context, socket, handler }
}
