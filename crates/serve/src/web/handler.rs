//! Handlers, which answer HTTP requests.

use std::fmt;
use std::io::Read;

use overlapped_wire::http::Answer;

use crate::peer::Peer;

/// A request on its way to a [`Handler`].
pub struct Call<'a> {
    /// The request.
    pub request: http::Request<()>,
    /// The body of the request.
    pub body: &'a mut dyn Read,
    /// The client that sent it.
    pub peer: Peer,
    /// The path at which the handler is mounted: `/cgi-bin`; empty for the whole site.
    pub prefix: &'a str,
    /// The position of the rest in the request's path.
    pub(super) rest_at: usize,
}

impl<'a> Call<'a> {
    /// Creates a call of a handler that has the whole site.
    pub fn new(request: http::Request<()>, body: &'a mut dyn Read, peer: Peer) -> Call<'a> {
        Call { request, body, peer, prefix: "", rest_at: 0 }
    }

    /// Returns the path behind the prefix, as it was sent: empty, or a slash and more.
    pub fn rest(&self) -> &str {
        &self.request.uri().path()[self.rest_at..]
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

/// A handler of requests, which any number of connections and threads share:
/// [`Files`](super::Files), [`Cgi`](super::Cgi), a [`Site`](super::Site), or a function.
pub trait Handler: Send + Sync {
    /// Answers one request. It may wait: only its connection waits with it.
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
