//! The map from paths to handlers.

use std::fmt;
use std::io::Read;
use std::sync::Arc;

use http::StatusCode;
use overlapped_wire::http::{Answer, Service};

use super::internal_redirect::InternalRedirect;
use super::{Call, Handler, page, target};
use crate::peer::Peer;

struct Route {
    /// The prefix, such as `/a/b`; empty for the whole site.
    prefix: String,
    handler: Arc<dyn Handler>,
}

/// A map from path prefixes to handlers. The longest prefix of a path selects its handler.
///
/// Prefixes are compared by their decoded names, as files are found: `//cgi%2Dbin/x` is below
/// `/cgi-bin`. So no spelling of a prefix leads past its handler to another one's files.
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
    /// Creates a site without handlers.
    #[must_use]
    pub fn new() -> Site {
        Site::default()
    }

    /// Adds a handler for the paths below `prefix`; `/` is for all others.
    #[must_use]
    pub fn at(mut self, prefix: &str, handler: impl Handler + 'static) -> Site {
        let names = prefix.split('/').filter(|name| !name.is_empty());
        let prefix: String = names.flat_map(|name| ["/", name]).collect();
        let routes = Arc::make_mut(&mut self.routes);
        routes.push(Arc::new(Route { prefix, handler: Arc::new(handler) }));
        routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        self
    }

    /// Returns the same site for the connection of `peer`.
    #[must_use]
    pub fn for_peer(&self, peer: &Peer) -> Site {
        Site { routes: Arc::clone(&self.routes), peer: peer.clone() }
    }
}

/// The maximum of internal redirects of one request.
const REDIRECTS_MAX: usize = 5;

impl Service for Site {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        let peer = self.peer.clone();
        self.handle(Call::new(request, body, peer))
    }
}

/// A site may be inside a [layer](crate::web#layers). It matches the whole path, wherever it is
/// mounted.
impl Handler for Site {
    fn handle(&self, call: Call<'_>) -> Answer {
        let peer = call.peer.clone();
        let mut answer = self.answer(call);
        for _ in 0..REDIRECTS_MAX {
            let Some(InternalRedirect(other)) = answer.extensions_mut().remove() else {
                return answer;
            };
            answer = self.answer(Call::new(other, &mut std::io::empty(), peer.clone()));
        }
        match answer.extensions_mut().remove() {
            Some(InternalRedirect(other)) => page::refusal(&other, StatusCode::BAD_GATEWAY),
            None => answer,
        }
    }
}

impl Site {
    fn answer(&self, call: Call<'_>) -> Answer {
        let Call { request, body, peer, .. } = call;
        let path = request.uri().path();
        let found = self.routes.iter().find_map(|route| {
            Some((route, path.len() - target::strip_prefix(path, &route.prefix)?.len()))
        });
        match found {
            Some((route, rest_at)) => {
                route.handler.handle(Call { request, body, peer, prefix: &route.prefix, rest_at })
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
