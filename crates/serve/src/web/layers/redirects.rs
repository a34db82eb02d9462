//! Redirects: of paths that have moved, and from http to https.

use std::io;

use http::StatusCode;
use http::Uri;
use overlapped_wire::http::Answer;

use super::{authority, invalid, is_challenge, moved};
use crate::web::target::{self, Empty};
use crate::web::{Call, Handler, page};

/// Sends clients of paths that have moved to where they are now, by `308`. A request's query is
/// kept where the new place has none.
///
/// ```
/// use overlapped_serve::Peer;
/// use overlapped_serve::web::{Call, Handler, Redirects};
/// use overlapped_wire::http::text;
///
/// let hello = |_: Call<'_>| text(http::StatusCode::OK, "hello");
/// let site = Redirects::new(hello).from("/old", "/new")?;
/// let site = site.from("/blog/*", "https://blog.example/")?;
/// let request = http::Request::get("/blog/2026?page=2").body(()).unwrap();
/// let answer = site.handle(Call::new(request, &mut std::io::empty(), Peer::default()));
/// assert_eq!(answer.headers()["location"], "https://blog.example/2026?page=2");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct Redirects<H> {
    inner: H,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    /// Names with slashes between them.
    from: String,
    /// All that is beneath `from`, too.
    beneath: bool,
    to: String,
}

impl<H: Handler> Redirects<H> {
    /// Without redirects yet.
    pub fn new(inner: H) -> Redirects<H> {
        Redirects { inner, rules: Vec::new() }
    }

    /// From a path to another path of this site, or to a URL. A path that ends in `/*` is that of
    /// everything beneath it: what stands for the star is appended to the new place.
    ///
    /// # Errors
    /// `InvalidInput` for what is neither, and for a place that leads back to the same path, also
    /// by way of other rules.
    pub fn from(mut self, from: &str, to: &str) -> io::Result<Redirects<H>> {
        self.add(from, to).map(|()| self)
    }

    /// As [`from`](Redirects::from); where it fails, nothing has changed.
    ///
    /// # Errors
    /// Those of [`from`](Redirects::from).
    pub fn add(&mut self, from: &str, to: &str) -> io::Result<()> {
        let refuse = |why: &str| {
            Err(invalid(format!(
                "{from:?} cannot be redirected to {to:?}: {why}. Write it as /old=/new, or as \
                 /old/*=https://example.org/new/"
            )))
        };
        let (path, beneath) = match from.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (from, false),
        };
        if !from.starts_with('/') || path.contains(['?', '#', '*']) {
            return refuse("what moves is a path, which begins with a slash");
        }
        let is_path = to.starts_with('/') && !to.starts_with("//");
        let is_url = ["http://", "https://"].iter().any(|scheme| to.starts_with(scheme));
        let is_uri = to.parse::<Uri>().is_ok() && !to.contains(['\\', '*', '#']);
        if !is_uri || !(is_path || is_url) {
            return refuse("the new place is a path, or a URL of http or https");
        }
        if beneath && to.contains('?') {
            return refuse("a path cannot be appended behind a query");
        }
        let from = match target::decode(path, Empty::Skip) {
            Ok(target) => String::from_utf8_lossy(&target.path).into_owned(),
            Err(_) => return refuse("the path is malformed"),
        };
        let rule = Rule { from, beneath, to: to.to_owned() };
        if is_path && rule.place(to.split('?').next().unwrap_or(to)).is_some() {
            return refuse("the new place would be redirected again, for ever");
        }
        self.rules.push(rule);
        let Some(path) = self.find_loop() else { return Ok(()) };
        let way = self.way(&path).into_iter().take(LOOP_SHOWN).collect::<Vec<_>>().join(" to ");
        self.rules.pop();
        refuse(&format!(
            "with the redirects before it, it would lead clients from {path} to {way}, and so on \
             for ever"
        ))
    }

    /// A path from which redirects never end, as far as the rules themselves show one.
    fn find_loop(&self) -> Option<String> {
        let paths = self.rules.iter().flat_map(|rule| {
            let path = target::encode(rule.from.as_bytes());
            let beneath = rule.beneath.then(|| path.trim_end_matches('/').to_owned() + "/x");
            [Some(path), beneath]
        });
        paths.flatten().find(|path| self.way(path).len() == REDIRECTS_MAX)
    }

    /// The places to which a path is redirected, one after the other, on this site.
    fn way(&self, path: &str) -> Vec<String> {
        let mut way: Vec<String> = Vec::new();
        while way.len() < REDIRECTS_MAX {
            let at = way.last().map_or(path, String::as_str);
            let at = at.split('?').next().unwrap_or(at);
            let Some(Ok(place)) = self.rules.iter().find_map(|rule| rule.place(at)) else { break };
            if !place.starts_with('/') {
                break;
            }
            way.push(place);
        }
        way
    }
}

/// Redirects that browsers follow.
const REDIRECTS_MAX: usize = 20;
/// The part of an endless chain that a message shows.
const LOOP_SHOWN: usize = 3;

impl Rule {
    /// The place to which `path` has moved, if this rule is about it; an error where the path is
    /// malformed.
    fn place(&self, path: &str) -> Option<Result<String, StatusCode>> {
        let rest = target::after(path, &self.from)?;
        if !self.beneath {
            return rest.bytes().all(|byte| byte == b'/').then(|| Ok(self.to.clone()));
        }
        // Decoded and written anew, so that it is one path behind the new place, whatever was sent.
        let Ok(rest) = target::decode(rest, Empty::Skip) else {
            return Some(Err(StatusCode::BAD_REQUEST));
        };
        let mut place = self.to.trim_end_matches('/').to_owned() + &target::encode(&rest.path);
        if rest.is_folder && !place.ends_with('/') {
            place.push('/');
        }
        Some(Ok(place))
    }
}

impl<H: Handler> Handler for Redirects<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let request = &call.request;
        let path = request.uri().path();
        let Some(found) = self.rules.iter().find_map(|rule| rule.place(path)) else {
            return self.inner.handle(call);
        };
        match found {
            Ok(mut place) => {
                if let Some(query) = request.uri().query().filter(|_| !place.contains('?')) {
                    place.push('?');
                    place.push_str(query);
                }
                moved(request, place)
            }
            Err(status) => page::refusal(request, status),
        }
    }
}

/// Sends clients that have come by http to the same address by https, by `308`. Behind a proxy that
/// speaks TLS for this server, [`Forwarded`](super::Forwarded) goes around it.
#[derive(Debug, Clone)]
pub struct Https<H> {
    inner: H,
    port: u16,
}

impl<H: Handler> Https<H> {
    /// To port 443.
    pub fn new(inner: H) -> Https<H> {
        Https { inner, port: 443 }
    }

    /// To another port.
    #[must_use]
    pub fn port(mut self, port: u16) -> Https<H> {
        self.port = port;
        self
    }
}

impl<H: Handler> Handler for Https<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let request = &call.request;
        if call.peer.secure || is_challenge(request.uri().path()) {
            return self.inner.handle(call);
        }
        let Some(authority) = authority(request) else {
            return page::refusal(request, StatusCode::BAD_REQUEST);
        };
        let host = authority.host();
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        moved(
            request,
            match self.port {
                443 => format!("https://{host}{path}"),
                port => format!("https://{host}:{port}{path}"),
            },
        )
    }
}
