//! The CORS protocol (Fetch standard): lets scripts of other sites read answers.

use std::io;

use http::{HeaderValue, Method, Response, StatusCode, header};
use overlapped_wire::http::{Answer, Content};

use super::invalid;
use crate::web::{Call, Handler};

/// A layer that lets scripts of other origins read the answers. Credentials are never allowed: a
/// script of another site gets nothing that needs the client's password.
///
/// ```
/// use overlapped_serve::Peer;
/// use overlapped_serve::web::{Call, Cors, Handler};
/// use overlapped_wire::http::text;
///
/// let hello = |_: Call<'_>| text(http::StatusCode::OK, "hello");
/// let site = Cors::new(["https://example.org"], hello)?;
/// let request = http::Request::get("/").header("origin", "https://example.org");
/// let request = request.body(()).unwrap();
/// let answer = site.handle(Call::new(request, &mut std::io::empty(), Peer::default()));
/// assert_eq!(answer.headers()["access-control-allow-origin"], "https://example.org");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct Cors<H> {
    inner: H,
    /// The allowed origins; empty allows all.
    origins: Vec<HeaderValue>,
}

impl<H: Handler> Cors<H> {
    /// Allows these origins, such as `https://example.org`; `*` allows all.
    ///
    /// # Errors
    /// `InvalidInput` for a malformed origin: one has a scheme, a host, perhaps a port, and nothing
    /// else.
    pub fn new<S: AsRef<str>>(
        origins: impl IntoIterator<Item = S>,
        inner: H,
    ) -> io::Result<Cors<H>> {
        let mut listed = Vec::new();
        let mut is_open = false;
        for origin in origins {
            match origin.as_ref() {
                "*" => is_open = true,
                origin => listed.push(parse(origin).ok_or_else(|| {
                    invalid(format!(
                        "{origin:?} is not an origin: write it as https://example.org, without a \
                         path, or * for all"
                    ))
                })?),
            }
        }
        if is_open {
            listed.clear();
        } else if listed.is_empty() {
            return Err(invalid("the origin is missing: * allows all".to_owned()));
        }
        Ok(Cors { inner, origins: listed })
    }

    /// Returns the header value that allows the origin of a request.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return Some(HeaderValue::from_static("*"));
        }
        self.origins.iter().find(|allowed| *allowed == origin).cloned()
    }
}

/// Normalises an origin as browsers do: in lower case, without the scheme's default port.
fn parse(origin: &str) -> Option<HeaderValue> {
    let (scheme, rest) = origin.split_once("://")?;
    let authority = http::uri::Authority::try_from(rest).ok()?;
    let is_plain = scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) && !rest.contains('@');
    if !is_plain || scheme.is_empty() || authority.host().is_empty() {
        return None;
    }
    let port = match (scheme.to_ascii_lowercase().as_str(), authority.port_u16()) {
        ("http", Some(80)) | ("https", Some(443)) | (_, None) => String::new(),
        (_, Some(port)) => format!(":{port}"),
    };
    let origin = format!("{scheme}://{}", authority.host()).to_ascii_lowercase() + &port;
    HeaderValue::try_from(origin).ok()
}

impl<H: Handler> Handler for Cors<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let fields = call.request.headers();
        let allowed = fields.get(header::ORIGIN).and_then(|origin| self.allowed(origin));
        let is_preflight = call.request.method() == Method::OPTIONS
            && fields.contains_key(header::ORIGIN)
            && fields.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let mut answer = if is_preflight { preflight(&allowed) } else { self.inner.handle(call) };
        let headers = answer.headers_mut();
        if !self.origins.is_empty() {
            headers.append(header::VARY, HeaderValue::from(header::ORIGIN));
        }
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
            let all = HeaderValue::from_static("*");
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, all);
        }
        answer
    }
}

/// Returns the answer to a preflight request.
fn preflight(allowed: &Option<HeaderValue>) -> Answer {
    let mut answer = Response::new(Content::EMPTY);
    *answer.status_mut() = StatusCode::NO_CONTENT;
    if allowed.is_some() {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
            (header::ACCESS_CONTROL_ALLOW_HEADERS, "*"),
            (header::ACCESS_CONTROL_MAX_AGE, "7200"),
        ] {
            answer.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn origins_are_normalised_as_browsers_do() {
        for (given, written) in [
            ("https://Example.ORG", Some("https://example.org")),
            ("https://example.org:443", Some("https://example.org")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("example.org", None),
            ("https://example.org/", None),
            ("https://u@example.org", None),
            ("https://", None),
            ("https://a\r\nb: c", None),
            ("null", None),
        ] {
            let parsed = parse(given);
            assert_eq!(parsed.as_ref().map(|value| value.to_str().unwrap()), written, "{given}");
        }
    }
}
