//! Which handler answers what.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use http::{HeaderMap, StatusCode, header};
use overlapped::net::SocketAddr;
use overlapped_wire::http::{Answer, Service};

use super::{User, page, target};

/// Who sent a request, and how it came: what a handler may know of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peer {
    /// The client's address.
    pub remote: Option<SocketAddr>,
    /// The address that it has connected to.
    pub local: Option<SocketAddr>,
    /// Over TLS.
    pub secure: bool,
}

impl From<&crate::Peer> for Peer {
    fn from(peer: &crate::Peer) -> Peer {
        Peer { remote: peer.remote(), local: peer.local(), secure: peer.tls().is_some() }
    }
}

/// A request on its way to a [`Handler`].
pub struct Call<'a> {
    /// The request.
    pub request: http::Request<()>,
    /// Its body.
    pub body: &'a mut dyn Read,
    /// Who sent it.
    pub peer: Peer,
    /// Where the handler is mounted: `/cgi-bin`; empty for the whole site.
    pub prefix: &'a str,
    /// Where the rest of the path begins in that of the request.
    rest: usize,
}

impl<'a> Call<'a> {
    /// A call of a handler that has the whole site.
    pub fn new(request: http::Request<()>, body: &'a mut dyn Read, peer: Peer) -> Call<'a> {
        Call { request, body, peer, prefix: "", rest: 0 }
    }

    /// What follows the prefix in the path, as it was sent: empty, or a slash and more.
    pub fn rest(&self) -> &str {
        &self.request.uri().path()[self.rest..]
    }
}

impl fmt::Debug for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("request", &self.request)
            .field("peer", &self.peer)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

/// Answers requests of any number of connections, in any thread: [`Files`](super::Files),
/// [`Cgi`](super::Cgi), or a function.
pub trait Handler: Send + Sync {
    /// Answers one request; as [`Service::call`].
    fn handle(&self, call: Call<'_>) -> Answer;
}

impl<F: Fn(Call<'_>) -> Answer + Send + Sync> Handler for F {
    fn handle(&self, call: Call<'_>) -> Answer {
        self(call)
    }
}

impl Handler for Box<dyn Handler> {
    fn handle(&self, call: Call<'_>) -> Answer {
        (**self).handle(call)
    }
}

struct Route {
    /// `/a/b`; empty for the whole site.
    prefix: String,
    handler: Arc<dyn Handler>,
}

/// A map of a site: what begins with a prefix goes to that prefix's handler, the longest first.
///
/// Prefixes are compared name by name, as files are found: `//cgi%2Dbin/x` is beneath `/cgi-bin`.
/// So no spelling of a prefix leads past its handler to another one's files.
///
/// A clone is cheap; each connection has its own, with [its peer](Site::for_peer).
///
/// ```
/// use overlapped_serve::web::{Call, Site};
/// use overlapped_wire::http::{Service, text};
///
/// let site = Site::new()
///     .at("/", |_: Call<'_>| text(http::StatusCode::OK, "home"))
///     .at("/api", |call: Call<'_>| text(http::StatusCode::OK, call.rest().to_owned()));
/// let request = http::Request::get("/%61pi/users?all").body(()).unwrap();
/// let answer = site.clone().call(request, &mut std::io::empty());
/// # let overlapped_wire::http::Content::Bytes(body) = answer.into_body() else { panic!() };
/// # assert_eq!(&*body, b"/users");
/// ```
#[derive(Clone, Default)]
pub struct Site {
    routes: Arc<Vec<Arc<Route>>>,
    peer: Peer,
}

impl Site {
    /// A site with nothing in it.
    #[must_use]
    pub fn new() -> Site {
        Site::default()
    }

    /// Adds a handler for what is beneath `prefix`; `/` for everything else.
    #[must_use]
    pub fn at(mut self, prefix: &str, handler: impl Handler + 'static) -> Site {
        let names = prefix.split('/').filter(|name| !name.is_empty());
        let prefix: String = names.flat_map(|name| ["/", name]).collect();
        let routes = Arc::make_mut(&mut self.routes);
        routes.push(Arc::new(Route { prefix, handler: Arc::new(handler) }));
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        self
    }

    /// The same site for one connection.
    #[must_use]
    pub fn for_peer(&self, peer: impl Into<Peer>) -> Site {
        Site { routes: Arc::clone(&self.routes), peer: peer.into() }
    }
}

/// How often one request may be sent elsewhere.
const ELSEWHERE_MAX: usize = 5;

/// Beside an answer: the site is to answer this request instead. Whoever does not know of it has a
/// redirect that says the same.
#[derive(Clone)]
pub(crate) struct Elsewhere(http::Request<()>);

impl Elsewhere {
    /// A `GET` of `path`, from whoever has sent `request`; `None` where that is no path.
    pub(crate) fn new(request: &http::Request<()>, path: &str) -> Option<Elsewhere> {
        let mut other = http::Request::new(());
        *other.uri_mut() = path.parse().ok()?;
        *other.version_mut() = request.version();
        *other.headers_mut() = request.headers().clone();
        other.headers_mut().remove(header::CONTENT_LENGTH);
        other.headers_mut().remove(header::CONTENT_TYPE);
        other.headers_mut().remove(header::TRANSFER_ENCODING);
        without_conditions(other.headers_mut());
        if let Some(user) = request.extensions().get::<User>() {
            other.extensions_mut().insert(user.clone());
        }
        Some(Elsewhere(other))
    }
}

/// Removes what is about a form of the content that another path does not have.
pub(super) fn without_conditions(headers: &mut HeaderMap) {
    for name in [
        header::RANGE,
        header::IF_RANGE,
        header::IF_MATCH,
        header::IF_NONE_MATCH,
        header::IF_MODIFIED_SINCE,
        header::IF_UNMODIFIED_SINCE,
    ] {
        headers.remove(name);
    }
}

impl Service for Site {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        let peer = self.peer;
        self.handle(Call::new(request, body, peer))
    }
}

/// A site inside of a [layer](crate::web#layers). It has the whole path, wherever it is mounted.
impl Handler for Site {
    fn handle(&self, call: Call<'_>) -> Answer {
        let peer = call.peer;
        let mut answer = self.answer(call);
        for _ in 0..ELSEWHERE_MAX {
            let Some(Elsewhere(other)) = answer.extensions_mut().remove() else { return answer };
            answer = self.answer(Call::new(other, &mut std::io::empty(), peer));
        }
        match answer.extensions_mut().remove() {
            Some(Elsewhere(other)) => page::refusal(&other, StatusCode::BAD_GATEWAY),
            None => answer,
        }
    }
}

impl Site {
    fn answer(&self, call: Call<'_>) -> Answer {
        let Call { request, body, peer, .. } = call;
        let path = request.uri().path();
        let found = self.routes.iter().find_map(|route| {
            Some((route, path.len() - target::after(path, &route.prefix)?.len()))
        });
        match found {
            Some((route, rest)) => {
                route.handler.handle(Call { request, body, peer, prefix: &route.prefix, rest })
            }
            None => page::refusal(&request, StatusCode::NOT_FOUND),
        }
    }
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefixes = self.routes.iter().map(|route| &route.prefix);
        f.debug_set().entries(prefixes).finish()
    }
}
