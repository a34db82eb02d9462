//! The connection task: one tasklet per connection, from accept to close.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use overlapped::Builder;
use overlapped::sync::OwnedSemaphorePermit;
use overlapped::task::TaskletExit;
use overlapped::time::Instant;

use super::plain_http;
use crate::peer::Peer;
use crate::session::{Connection, ConnectionHandler, End, ListenerContext, close};
use crate::state::{Address, AddressPermit, GaugeEntry, Phase, client_network};
use crate::stream::{OpenSocket, Socket, Stream, client, proxy, tls};
use crate::telemetry::Escaped;

/// The resources of a connection.
///
/// Fields are dropped in their order. The socket is closed before its slot becomes free and before
/// acceptors are notified, so that its descriptor is free when they accept the next client.
pub(super) struct ConnectionTask {
    _open: OpenSocket,
    socket: Rc<Socket>,
    _close_notifier: CloseNotifier,
    address_permit: Option<AddressPermit>,
    _entry: Option<GaugeEntry>,
    _slot: Option<OwnedSemaphorePermit>,
}

impl ConnectionTask {
    /// Starts the task of an accepted connection.
    pub(super) fn start(
        context: &Rc<ListenerContext>,
        stream: Stream,
        from: Option<SocketAddr>,
        slot: Option<OwnedSemaphorePermit>,
        handler: &Rc<dyn ConnectionHandler>,
    ) {
        context.counters.accepted.add(1);
        // A proxy's own address does not count; the addresses of its clients do, later.
        let counted = if context.listener.proxy_protocol { None } else { from };
        let Ok(address_permit) = address_permit(context, counted) else { return };
        let socket = Rc::new(Socket::new(stream));
        socket.state.number.set(context.thread.state.next_number());
        let task = ConnectionTask {
            _open: context.thread.sockets.enter(&socket),
            socket: Rc::clone(&socket),
            _close_notifier: CloseNotifier(Rc::clone(context)),
            address_permit,
            _entry: (!context.listener.is_monitoring).then(|| context.server.connections.add()),
            _slot: slot,
        };
        let name = match from {
            Some(from) => format!("serves {from}"),
            None => format!("serves a client of {}", context.listener.address),
        };
        let (context, handler) = (Rc::clone(context), Rc::clone(handler));
        let counters = std::sync::Arc::clone(&context.counters);
        match Builder::new().name(name).spawn(move || task.run(&context, from, &*handler)) {
            Ok(tasklet) => socket.state.set_tasklet(tasklet),
            Err(error) => {
                tracing::warn!("a client was refused: {error}");
                counters.refused.add(1);
            }
        }
    }

    fn run(
        mut self,
        context: &Rc<ListenerContext>,
        from: Option<SocketAddr>,
        handler: &dyn ConnectionHandler,
    ) {
        let session = AssertUnwindSafe(|| self.serve(context, from, handler));
        match catch_unwind(session) {
            Ok(()) => {}
            Err(payload) if payload.is::<TaskletExit>() => {
                if self.socket.state.evicted.get() {
                    context.counters.idle.add(1);
                }
                resume_unwind(payload)
            }
            // The panic hook has printed the message.
            Err(_) => context.counters.panicked.add(1),
        }
    }

    fn serve(
        &mut self,
        context: &Rc<ListenerContext>,
        from: Option<SocketAddr>,
        handler: &dyn ConnectionHandler,
    ) {
        client::enter(&self.socket);
        let span = tracing::debug_span!(
            "connection",
            from = from.map(tracing::field::display),
            on = %context.listener.address
        );
        let connection = match self.handshake(context, from, &span) {
            Ok(connection) => connection,
            Err(error) => {
                context.counters.handshakes_failed.add(1);
                tracing::debug!(parent: &span, "closed during the handshake: {error}");
                return;
            }
        };
        let end = handler.serve(connection.clone());
        report(&connection, &end);
        close(&connection, &end);
    }

    /// Reads the PROXY header and performs the TLS handshake, if the listener requires them.
    ///
    /// It is a function of its own, so that the stack of an idle connection does not hold its
    /// frame.
    #[inline(never)]
    fn handshake(
        &mut self,
        context: &Rc<ListenerContext>,
        from: Option<SocketAddr>,
        span: &tracing::Span,
    ) -> io::Result<Connection> {
        let limit = context.limits.head;
        let socket = &self.socket;
        let mut peer = Peer { remote: from, local: self.local(context), ..Peer::default() };
        if context.listener.proxy_protocol
            && let Some((remote, local)) = proxy::read(socket, limit)
                .inspect_err(|error| warn_of_header(context, from, error))?
        {
            let permit = address_permit(context, Some(remote));
            self.address_permit =
                permit.map_err(|()| io::Error::other("too many connections from one address"))?;
            (peer.remote, peer.local, peer.proxy) = (Some(remote), Some(local), from);
        }
        let connect = |tls, peer| {
            Connection::new(Rc::clone(socket), tls, peer, Rc::clone(context), span.clone())
        };
        let tls = match &context.listener.tls {
            None => None,
            Some(tls) => match tls::TlsSession::accept(socket, tls.current(), limit) {
                Ok(session) => Some(session),
                Err(tls::HandshakeError::Failed(error)) => return Err(error),
                Err(tls::HandshakeError::PlainHttp(request)) => {
                    plain_http::refuse(&connect(None, peer), &request);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
                }
            },
        };
        peer.tls = tls.as_deref().map(tls::TlsSession::peer);
        peer.secure = tls.is_some();
        if socket.state.phase.replace(Phase::Ready) == Phase::Handshake {
            socket.state.idle_since.set(Instant::now());
        }
        Ok(connect(tls, peer))
    }

    fn local(&self, context: &ListenerContext) -> Option<SocketAddr> {
        match &context.listener.address {
            Address::Tcp(address) if address.ip().is_unspecified() => self.socket.local_addr(),
            address => address.tcp(),
        }
    }
}

/// Warns of a client without a valid PROXY header, if one is required. Most likely every client
/// fails so, because the proxy is not configured to send the header, or the listener should not
/// require it.
#[cold]
fn warn_of_header(context: &ListenerContext, from: Option<SocketAddr>, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData
        && let Some(suppressed) = context.warnings.borrow_mut().no_header.allow()
    {
        let from = from.map_or("a client of a Unix socket".to_owned(), |from| from.to_string());
        tracing::warn!(
            "{from} was refused: {error}. {} requires the header: the proxy in front of it must \
             send it (HAProxy: send-proxy-v2, nginx: proxy_protocol on).{suppressed}",
            context.listener.address
        );
    }
}

/// Notifies acceptors that lack a descriptor when it is dropped.
struct CloseNotifier(Rc<ListenerContext>);

impl Drop for CloseNotifier {
    fn drop(&mut self) {
        self.0.reserve.fill();
        self.0.server.shortage.notify_closed();
    }
}

/// Returns the permit for one more connection of an address, `None` without an address, or an error
/// if the address has too many.
fn address_permit(
    context: &ListenerContext,
    from: Option<SocketAddr>,
) -> Result<Option<AddressPermit>, ()> {
    let Some(from) = from else { return Ok(None) };
    let limit = &context.listener.connection_limit;
    let permit = limit.acquire(from.ip(), context.limits.per_address);
    if permit.is_none() {
        context.counters.refused.add(1);
        warn_of_many(context, from.ip());
    }
    permit.map(Some).ok_or(())
}

/// Warns of an address that has reached its limit on connections.
#[cold]
fn warn_of_many(context: &ListenerContext, address: IpAddr) {
    let Some(suppressed) = context.warnings.borrow_mut().too_many.allow() else { return };
    let client = match client_network(Some(address)) {
        IpAddr::V6(network) => format!("{network}/64"),
        address => address.to_string(),
    };
    tracing::warn!(
        "a connection from {client} was closed: it has {} already, as many as --per-address allows \
         one address on {}{suppressed}",
        context.limits.per_address,
        context.listener.address
    );
}

/// Counts and logs the end of a session.
fn report(connection: &Connection, end: &End) {
    let counters = &connection.context().counters;
    let span = connection.span();
    match end {
        End::Finished => tracing::debug!(parent: span, "the client has finished"),
        End::Closed => tracing::debug!(parent: span, "closed after the last reply"),
        End::Idle => {
            counters.idle.add(1);
            tracing::debug!(parent: span, "closed: idle for too long");
        }
        End::TimedOut => {
            counters.timed_out.add(1);
            tracing::debug!(parent: span, "closed: the client was too slow");
        }
        End::SlowReader => {
            counters.timed_out.add(1);
            tracing::debug!(parent: span, "reset: the client reads too slowly");
        }
        End::Malformed(reason) => {
            counters.malformed.add(1);
            tracing::debug!(parent: span, "closed: malformed: {reason}");
        }
        End::BrokenReply(error, request) => {
            counters.errors.add(1);
            let (client, request) = (connection.peer(), Escaped(request));
            let reply = format_args!("a reply to {client} was broken off ({request:?})");
            tracing::warn!(parent: span, "{reply}: {error}");
        }
        End::Failed(error) => {
            counters.errors.add(1);
            tracing::debug!(parent: span, "closed: {error}");
        }
    }
}
