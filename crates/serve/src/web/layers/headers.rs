//! Additional headers in every answer.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue, header};
use overlapped_wire::http::Answer;

use super::invalid;
use crate::web::{Call, Handler};

/// Headers whose values differ per answer, or belong to the connection: a fixed value is wrong.
const OF_THE_ANSWER: [HeaderName; 14] = [
    header::ACCEPT_RANGES,
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LOCATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// A layer that adds headers to every answer of the inner handler, including refusals and
/// redirects. A header that is set here replaces the answer's own, except for `Vary`, which is
/// appended. Answers to malformed requests come from no handler: [`all`](Headers::all) is for
/// those.
///
/// ```
/// use overlapped_serve::Peer;
/// use overlapped_serve::web::{Call, Handler, Headers};
/// use overlapped_wire::http::text;
///
/// let hello = |_: Call<'_>| text(http::StatusCode::OK, "hello");
/// let site = Headers::new(hello).set("x-frame-options", "DENY")?;
/// let request = http::Request::get("/").body(()).unwrap();
/// let answer = site.handle(Call::new(request, &mut std::io::empty(), Peer::default()));
/// assert_eq!(answer.headers()["x-frame-options"], "DENY");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug, Clone)]
pub struct Headers<H> {
    inner: H,
    fields: Vec<(HeaderName, HeaderValue)>,
}

impl<H: Handler> Headers<H> {
    /// Creates the layer without headers.
    pub fn new(inner: H) -> Headers<H> {
        Headers { inner, fields: Vec::new() }
    }

    /// Sets a header.
    ///
    /// # Errors
    /// `InvalidInput` for an invalid name or value (line breaks above all), and for a header that
    /// the server itself must set.
    pub fn set(mut self, name: &str, value: &str) -> io::Result<Headers<H>> {
        self.add(name, value).map(|()| self)
    }

    /// Sets a header as [`set`](Headers::set) does. After an error, nothing has changed.
    ///
    /// # Errors
    /// Those of [`set`](Headers::set).
    pub fn add(&mut self, name: &str, value: &str) -> io::Result<()> {
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        else {
            return Err(invalid(format!(
                "{name:?} and {value:?} are not a valid header: a name has letters, digits and \
                 hyphens, a value has printable ASCII on one line"
            )));
        };
        let is_hop = ["keep-alive", "proxy-connection"].contains(&name.as_str());
        if is_hop || OF_THE_ANSWER.contains(&name) {
            return Err(invalid(format!(
                "the server itself sets {name} for each answer: a fixed value would be wrong"
            )));
        }
        self.fields.push((name, value));
        Ok(())
    }

    /// Returns the headers, for [`Http::fields`](overlapped_wire::http::Http::fields): answers to
    /// malformed requests come from no handler.
    pub fn all(&self) -> HeaderMap {
        let mut all = HeaderMap::new();
        for (name, value) in &self.fields {
            match *name {
                header::VARY => _ = all.append(name, value.clone()),
                _ => _ = all.insert(name, value.clone()),
            }
        }
        all
    }
}

impl<H: Handler> Handler for Headers<H> {
    fn handle(&self, call: Call<'_>) -> Answer {
        let mut answer = self.inner.handle(call);
        for (name, value) in &self.fields {
            match *name {
                header::VARY => _ = answer.headers_mut().append(name, value.clone()),
                _ => _ = answer.headers_mut().insert(name, value.clone()),
            }
        }
        answer
    }
}
