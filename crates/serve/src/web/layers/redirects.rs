//! Redirects of paths that have moved, and from http to https.

use std::io;

use http::StatusCode;
use http::Uri;
use overlapped_wire::http::Answer;

use super::{authority, invalid, is_challenge, permanent_redirect};
use crate::web::target::{self, EmptyNames};
use crate::web::{Call, Handler, page};

/// A layer that redirects paths that have moved, by `308`. The request's query is kept if the new
/// location has none.
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

/// The redirect of a path.
#[derive(Debug, Clone)]
struct Rule {
    /// Decoded names, separated by slashes.
    from: String,
    /// True if the rule is for everything below `from`.
    has_star: bool,
    to: String,
}

impl<H: Handler> Redirects<H> {
    /// Creates the layer without redirects.
    pub fn new(inner: H) -> Redirects<H> {
        Redirects { inner, rules: Vec::new() }
    }

    /// Adds a redirect from a path to another path of this site, or to a URL. A path that ends in
    /// `/*` stands for everything below it: what matches the star is appended to the new location.
    ///
    /// # Errors
    /// `InvalidInput` if `to` is neither, or if it leads back to the same path, also by other
    /// redirects.
    pub fn from(mut self, from: &str, to: &str) -> io::Result<Redirects<H>> {
        self.add(from, to).map(|()| self)
    }

    /// Adds a redirect as [`from`](Redirects::from) does. After an error, nothing has changed.
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
        let (path, has_star) = match from.strip_suffix("/*") {
            Some(path) => (path, true),
            None => (from, false),
        };
        if !from.starts_with('/') || path.contains(['?', '#', '*']) {
            return refuse("the old location must be a path, which begins with a slash");
        }
        let is_path = to.starts_with('/') && !to.starts_with("//");
        let is_url = ["http://", "https://"].iter().any(|scheme| to.starts_with(scheme));
        let is_uri = to.parse::<Uri>().is_ok() && !to.contains(['\\', '*', '#']);
        if !is_uri || !(is_path || is_url) {
            return refuse("the new location must be a path, or a URL with http or https");
        }
        if has_star && to.contains('?') {
            return refuse("a path cannot be appended behind a query");
        }
        let from = match target::decode(path, EmptyNames::Skip) {
            Ok(target) => String::from_utf8_lossy(&target.path).into_owned(),
            Err(_) => return refuse("the path is malformed"),
        };
        let rule = Rule { from, has_star, to: to.to_owned() };
        if is_path && rule.location(to.split('?').next().unwrap_or(to)).is_some() {
            return refuse("the new location would be redirected again, for ever");
        }
        self.rules.push(rule);
        let Some(path) = self.find_loop() else { return Ok(()) };
        let chain = self.chain(&path).into_iter().take(LOOP_SHOWN).collect::<Vec<_>>().join(" to ");
        self.rules.pop();
        refuse(&format!(
            "with the redirects before it, it would lead clients from {path} to {chain}, and so on \
             for ever"
        ))
    }

    /// Returns a path from which redirects never end, if one follows from the rules.
    fn find_loop(&self) -> Option<String> {
        let paths = self.rules.iter().flat_map(|rule| {
            let path = target::encode(rule.from.as_bytes());
            let has_star = rule.has_star.then(|| path.trim_end_matches('/').to_owned() + "/x");
            [Some(path), has_star]
        });
        paths.flatten().find(|path| self.chain(path).len() == REDIRECTS_MAX)
    }

    /// Returns the locations on this site to which a path is redirected, one after the other.
    fn chain(&self, path: &str) -> Vec<String> {
        let mut chain: Vec<String> = Vec::new();
        while chain.len() < REDIRECTS_MAX {
            let at = chain.last().map_or(path, String::as_str);
            let at = at.split('?').next().unwrap_or(at);
            let Some(Ok(location)) = self.rules.iter().find_map(|rule| rule.location(at)) else {
                break;
            };
            if !location.starts_with('/') {
                break;
            }
            chain.push(location);
        }
        chain
    }
}

/// The maximum of redirects that browsers follow.
const REDIRECTS_MAX: usize = 20;
/// The number of locations of an endless chain that a message shows.
const LOOP_SHOWN: usize = 3;

impl Rule {
    /// Returns the new location of `path`, if this rule is about it; an error if the path is
    /// malformed.
    fn location(&self, path: &str) -> Option<Result<String, StatusCode>> {
        let rest = target::strip_prefix(path, &self.from)?;
        if !self.has_star {
            return rest.bytes().all(|byte| byte == b'/').then(|| Ok(self.to.clone()));
        }
        // Decoded and encoded anew, so that it stays below the new location, whatever was sent.
        let Ok(rest) = target::decode(rest, EmptyNames::Skip) else {
            return Some(Err(StatusCode::BAD_REQUEST));
        };
        let mut location = self.to.trim_end_matches('/').to_owned() + &target::encode(&rest.path);
        if rest.is_folder && !location.ends_with('/') {
            location.push('/');
        }
        Some(Ok(location))
    }
}

impl<H: Handler> Handler for Redirects<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let request = &call.request;
        let path = request.uri().path();
        let Some(found) = self.rules.iter().find_map(|rule| rule.location(path)) else {
            return self.inner.handle(call);
        };
        match found {
            Ok(mut location) => {
                if let Some(query) = request.uri().query().filter(|_| !location.contains('?')) {
                    location.push('?');
                    location.push_str(query);
                }
                permanent_redirect(request, location)
            }
            Err(status) => page::refusal(request, status),
        }
    }
}

/// A layer that redirects http requests to https, by `308`. Behind a proxy that speaks TLS for this
/// server, put [`Forwarded`](super::Forwarded) around it.
#[derive(Debug, Clone)]
pub struct Https<H> {
    inner: H,
    port: u16,
}

impl<H: Handler> Https<H> {
    /// Redirects to port 443.
    pub fn new(inner: H) -> Https<H> {
        Https { inner, port: 443 }
    }

    /// Sets another port.
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
        permanent_redirect(
            request,
            match self.port {
                443 => format!("https://{host}{path}"),
                port => format!("https://{host}:{port}{path}"),
            },
        )
    }
}
