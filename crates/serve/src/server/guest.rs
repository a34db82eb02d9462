//! A connection's tasklet, from its first instruction to its last.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use overlapped::Builder;
use overlapped::sync::OwnedSemaphorePermit;
use overlapped::task::TaskletExit;
use overlapped::time::Instant;
use overlapped_wire::Protocol;

use super::worker::Presence;
use super::{Venue, plain_http};
use crate::listen::{Address, Ticket, client_of};
use crate::session::{self, End};
use crate::stream::{Link, Progress, Raw, Socket, State, client, proxy, tls};
use crate::watch::{Entered, Escaped};
use crate::{Connection, Peer};

/// Speaks with clients, on one thread.
pub(crate) trait Serve {
    fn serve(&self, connection: Connection) -> End;
}

/// Makes what speaks with clients, once per thread.
pub(super) trait Factory: Send {
    fn copy(&self) -> Box<dyn Factory>;
    fn build(self: Box<Self>) -> Rc<dyn Serve>;
}

/// A protocol.
pub(super) struct Spoken<F>(pub(super) F);

impl<P, F> Serve for Spoken<F>
where
    P: Protocol + 'static,
    F: Fn(&Peer) -> P,
{
    fn serve(&self, connection: Connection) -> End {
        let mut protocol = (self.0)(connection.peer());
        session::converse(&connection, &mut protocol)
    }
}

impl<P, F> Factory for Spoken<F>
where
    P: Protocol + 'static,
    F: Fn(&Peer) -> P + Clone + Send + 'static,
{
    fn copy(&self) -> Box<dyn Factory> {
        Box::new(Spoken(self.0.clone()))
    }

    fn build(self: Box<Self>) -> Rc<dyn Serve> {
        Rc::new(*self)
    }
}

/// A plain function.
pub(super) struct Plain<F>(pub(super) F);

impl<F: Fn(Connection)> Serve for Plain<F> {
    fn serve(&self, connection: Connection) -> End {
        connection.link().state.set(State::Plain);
        (self.0)(connection);
        End::Closed
    }
}

impl<F: Fn(Connection) + Clone + Send + 'static> Factory for Plain<F> {
    fn copy(&self) -> Box<dyn Factory> {
        Box::new(Plain(self.0.clone()))
    }

    fn build(self: Box<Self>) -> Rc<dyn Serve> {
        Rc::new(*self)
    }
}

/// A client that was let in.
///
/// The order of the fields is the order of their drops: the socket is closed before the seat is
/// free and before acceptors hear of it, so that its descriptor is there when they take the next
/// client.
pub(crate) struct Guest {
    _presence: Presence,
    link: Rc<Link>,
    _leaver: Leaver,
    _ticket: Option<Ticket>,
    _entered: Option<Entered>,
    _seat: Option<OwnedSemaphorePermit>,
}

impl Guest {
    /// Begins the session of a connection.
    pub(crate) fn admit(
        venue: &Rc<Venue>,
        socket: Socket,
        from: Option<SocketAddr>,
        seat: Option<OwnedSemaphorePermit>,
        serve: &Rc<dyn Serve>,
    ) {
        venue.counts.accepted.add(1);
        // A proxy's address says nothing: its clients' do, later.
        let counted = if venue.front.proxy { None } else { from };
        let Ok(ticket) = ticket(venue, counted) else { return };
        let link = Rc::new(Link::new(socket));
        let guest = Guest {
            _presence: venue.worker.enter(&link),
            link: Rc::clone(&link),
            _leaver: Leaver(Rc::clone(venue)),
            _ticket: ticket,
            _entered: (!venue.front.watched).then(|| venue.site.connections.enter()),
            _seat: seat,
        };
        let theirs = (Rc::clone(venue), Rc::clone(serve));
        let name = match from {
            Some(from) => format!("serves {from}"),
            None => format!("serves a client of {}", venue.front.address),
        };
        let session = move || guest.stay(&theirs.0, from, &*theirs.1);
        match Builder::new().name(name).spawn(session) {
            Ok(tasklet) => link.set_tasklet(tasklet),
            Err(error) => {
                tracing::warn!("a client was refused: {error}");
                venue.counts.refused.add(1);
            }
        }
    }

    fn stay(mut self, venue: &Rc<Venue>, from: Option<SocketAddr>, serve: &dyn Serve) {
        let session = AssertUnwindSafe(|| self.meet(venue, from, serve));
        match catch_unwind(session) {
            Ok(()) => {}
            Err(payload) if payload.is::<TaskletExit>() => {
                if self.link.evicted.get() {
                    venue.counts.idle.add(1);
                }
                resume_unwind(payload)
            }
            // Its message has been printed where it happened.
            Err(_) => venue.counts.panicked.add(1),
        }
    }

    fn meet(&mut self, venue: &Rc<Venue>, from: Option<SocketAddr>, serve: &dyn Serve) {
        client::enter(&self.link);
        let span = tracing::debug_span!(
            "connection",
            from = from.map(tracing::field::display),
            on = %venue.front.address
        );
        let connection = match self.greet(venue, from, &span) {
            Ok(connection) => connection,
            Err(error) => {
                venue.counts.handshakes_failed.add(1);
                tracing::debug!(parent: &span, "closed in its handshake: {error}");
                return;
            }
        };
        let end = serve.serve(connection.clone());
        note(&connection, &end);
        session::close(&connection, &end);
    }

    /// What comes before the protocol: a proxy's header, TLS.
    ///
    /// Apart, so that an idle connection's stack does not hold its frame.
    #[inline(never)]
    fn greet(
        &mut self,
        venue: &Rc<Venue>,
        from: Option<SocketAddr>,
        span: &tracing::Span,
    ) -> io::Result<Connection> {
        let limit = venue.limits.head;
        let raw = Raw::new(Rc::clone(&self.link));
        let mut peer = Peer { remote: from, local: self.local(venue), ..Peer::default() };
        if venue.front.proxy
            && let Some((remote, local)) =
                proxy::read(&raw, limit).inspect_err(|error| complain(venue, from, error))?
        {
            let ticket = ticket(venue, Some(remote));
            self._ticket = ticket.map_err(|()| io::Error::other("too many of one address"))?;
            (peer.remote, peer.local, peer.proxy) = (Some(remote), Some(local), from);
        }
        let tls = match &venue.front.tls {
            None => None,
            Some(tls) => match tls::Session::accept(&raw, tls.current(), limit) {
                Ok(session) => Some(session),
                Err(tls::NoSession::Failed(error)) => return Err(error),
                Err(tls::NoSession::PlainHttp(request)) => {
                    let connection =
                        Connection::new(raw, None, peer, Rc::clone(venue), span.clone());
                    plain_http::turn_away(&connection, &request);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "plain HTTP"));
                }
            },
        };
        peer.tls = tls.as_deref().map(tls::Session::peer);
        if self.link.progress.replace(Progress::Met) == Progress::Greeting {
            self.link.idle_since.set(Instant::now());
        }
        Ok(Connection::new(raw, tls, peer, Rc::clone(venue), span.clone()))
    }

    fn local(&self, venue: &Venue) -> Option<SocketAddr> {
        match &venue.front.address {
            Address::Tcp(address) if address.ip().is_unspecified() => self.link.socket.local_addr(),
            address => address.tcp(),
        }
    }
}

/// A client that brings no PROXY header where one is required is most likely a proxy that has not
/// been told to send it, or a listener that should not require it: every client fails.
#[cold]
fn complain(venue: &Venue, from: Option<SocketAddr>, error: &io::Error) {
    if error.kind() == io::ErrorKind::InvalidData
        && let Some(more) = venue.complaints.borrow_mut().no_header.now()
    {
        let from = from.map_or("a client of a Unix socket".to_owned(), |from| from.to_string());
        tracing::warn!(
            "{from} was refused: {error}. {} requires the header: the proxy before it must send it \
             (HAProxy: send-proxy-v2, nginx: proxy_protocol on).{more}",
            venue.front.address
        );
    }
}

/// Tells acceptors that have no descriptors that there is one now.
struct Leaver(Rc<Venue>);

impl Drop for Leaver {
    fn drop(&mut self) {
        self.0.reserve.fill();
        self.0.site.shortage.wake();
    }
}

/// A ticket for the address, where addresses count; an error where it has too many.
fn ticket(venue: &Venue, from: Option<SocketAddr>) -> Result<Option<Ticket>, ()> {
    let Some(from) = from else { return Ok(None) };
    let ticket = venue.front.addresses.take(from.ip(), venue.limits.per_address);
    if ticket.is_none() {
        venue.counts.refused.add(1);
        complain_of_many(venue, from.ip());
    }
    ticket.map(Some).ok_or(())
}

/// Warns, now and then, of an address with as many connections as one may have.
#[cold]
fn complain_of_many(venue: &Venue, address: IpAddr) {
    let Some(more) = venue.complaints.borrow_mut().too_many.now() else { return };
    let client = match client_of(Some(address)) {
        IpAddr::V6(network) => format!("{network}/64"),
        address => address.to_string(),
    };
    tracing::warn!(
        "a connection from {client} was closed: it has {} already, as many as --per-address allows \
         one address on {}{more}",
        venue.limits.per_address,
        venue.front.address
    );
}

/// Counts how a session ended, and says so.
fn note(connection: &Connection, end: &End) {
    let counts = &connection.venue().counts;
    let span = connection.span();
    match end {
        End::Finished => tracing::debug!(parent: span, "the client has finished"),
        End::Closed => tracing::debug!(parent: span, "closed after the last reply"),
        End::Idle => {
            counts.idle.add(1);
            tracing::debug!(parent: span, "closed: idle for too long");
        }
        End::Late => {
            counts.late.add(1);
            tracing::debug!(parent: span, "closed: the client was too slow");
        }
        End::Stuck => {
            counts.late.add(1);
            tracing::debug!(parent: span, "reset: the client reads too slowly");
        }
        End::Malformed(reason) => {
            counts.malformed.add(1);
            tracing::debug!(parent: span, "closed: malformed: {reason}");
        }
        End::Broken(error, request) => {
            counts.errors.add(1);
            let (client, request) = (connection.peer(), Escaped(request));
            let of = format_args!("a reply to {client} was broken off ({request:?})");
            tracing::warn!(parent: span, "{of}: {error}");
        }
        End::Failed(error) => {
            counts.errors.add(1);
            tracing::debug!(parent: span, "closed: {error}");
        }
    }
}
