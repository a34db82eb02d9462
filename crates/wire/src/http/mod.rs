//! HTTP/1.1, the server's side (RFC 9110, RFC 9112).
//!
//! ```text
//! scan    finds the end of the head, applies its limits ┐
//! head    parses it (httparse, http)                    ├ decode
//! framing finds the body's end, keep or close           │
//! body    decodes the body's chunks                     ┘
//! service answers the request                           ┐
//! answer  writes the answer's head and body             ┴ respond
//! ```
//!
//! **Strict.** If two parsers understand the same bytes differently, one can be used to smuggle
//! requests past the other. So everything that RFC 9112 lets a recipient repair is refused here,
//! and the connection closed: a bare line feed, folded fields, spaces around names, both kinds of
//! length or one kind twice, unknown codings, unusual spellings of numbers.
//!
//! **Answered here**, without the [`Service`]: malformed requests (`400`), exceeded limits (`413`,
//! `414`, `431`), versions (`505`), expectations (`417`), the methods `CONNECT` and `TRACE` and
//! transfer codings other than `chunked` (`501`), `OPTIONS *` (`204`), requests that time out
//! (`408`).
//!
//! **Versions.** Answers are HTTP/1.1. A client of HTTP/1.0 gets no chunks and no `100 Continue`,
//! and keeps its connection only if it asks to.

mod answer;
mod body;
mod framing;
mod head;
mod limits;
mod refusal;
mod scan;
mod service;

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;

use ::http::{HeaderMap, Method, Request, Response, StatusCode, Version, header};

pub use head::Received;
pub use limits::Limits;
pub use service::{Answer, ClientIdentity, Content, Service, text};

use crate::{AccessRecord, Decoded, Exchange, Malformed, Next, Protocol};
use answer::Context;
use framing::{BodyEnd, Framing};

/// The largest unread rest of a request's body with which the connection is kept: the driver
/// discards the rest.
pub const UNREAD_BODY_BYTES_MAX: u64 = 64 * 1024;

/// The server's side of one HTTP/1.1 connection.
///
/// ```
/// use std::time::SystemTime;
/// use overlapped_wire::http::{Answer, Http, text};
/// use overlapped_wire::{Decoded, Exchange, Next, Protocol, Reply};
///
/// let hello = |request: http::Request<()>, _: &mut dyn std::io::Read| -> Answer {
///     text(http::StatusCode::OK, format!("hello {}\n", request.uri().path()))
/// };
/// let mut http = Http::new(hello);
/// let input = b"GET /you HTTP/1.1\r\nHost: example.org\r\n\r\n";
/// let Ok(Decoded::Whole { request, taken: 40 }) = http.decode(input) else { panic!() };
///
/// let mut reply = Reply::default();
/// let mut exchange = Exchange {
///     now: SystemTime::UNIX_EPOCH,
///     last: false,
///     body: &mut std::io::empty(),
///     reply: &mut reply,
///     record: None,
/// };
/// assert_eq!(http.respond(request, &mut exchange), Next::Keep);
/// assert!(reply.bytes().starts_with(b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT"));
/// assert!(reply.bytes().ends_with(b"\r\n\r\nhello /you\n"));
/// ```
pub struct Http<S> {
    service: S,
    limits: Limits,
    scan: scan::Scan,
    date: answer::Date,
    /// Added to answers that the service has not given.
    fields: Option<Arc<HeaderMap>>,
    /// True if the last answered request was a `HEAD`.
    asked_head: bool,
}

impl<S: Service> Http<S> {
    /// Makes a connection's server side with the default [`Limits`].
    pub fn new(service: S) -> Http<S> {
        Http::with_limits(service, Limits::default())
    }

    /// Makes a connection's server side with these limits.
    pub fn with_limits(service: S, limits: Limits) -> Http<S> {
        Http {
            service,
            limits,
            scan: scan::Scan::default(),
            date: answer::Date::default(),
            fields: None,
            asked_head: false,
        }
    }

    /// Adds fields to the answers that are not the service's: those to requests that are
    /// malformed, too large or late, and to `OPTIONS *`.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use overlapped_wire::http::{Answer, Http, text};
    ///
    /// let mut fields = http::HeaderMap::new();
    /// fields.insert("x-frame-options", http::HeaderValue::from_static("DENY"));
    /// let hello = |_: http::Request<()>, _: &mut dyn std::io::Read| -> Answer {
    ///     text(http::StatusCode::OK, "hello")
    /// };
    /// let http = Http::new(hello).fields(Arc::new(fields));
    /// ```
    #[must_use]
    pub fn fields(mut self, fields: Arc<HeaderMap>) -> Http<S> {
        self.fields = Some(fields);
        self
    }

    fn refuse_with(&mut self, answer: &[u8], rest: &[u8], exchange: &mut Exchange<'_>) {
        let (status_line, fields, body) = refusal::parts(answer);
        let begin = exchange.reply.bytes().len();
        let out = exchange.reply.buffer();
        out.extend_from_slice(status_line);
        self.date.write(exchange.now, out);
        if let Some(own) = &self.fields {
            answer::fields(own, out);
        }
        out.extend_from_slice(fields);
        let asked_head = if rest.is_empty() { self.asked_head } else { rest.starts_with(b"HEAD ") };
        if !asked_head {
            out.extend_from_slice(body);
        }
        if let Some(record) = exchange.record.as_deref_mut() {
            refusal::log_first_line(record, rest, self.limits.line_bytes_max);
            record.status = refusal::status(answer);
            record.head_bytes = head_bytes(&exchange.reply.bytes()[begin..]);
        }
    }
}

impl<S: Service> Protocol for Http<S> {
    type Request<'a> = Received<'a>;

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<Received<'a>>, Malformed> {
        match self.scan.find(input, &self.limits)? {
            Some(found) => head::parse(input, found, &self.limits),
            None => Ok(Decoded::More),
        }
    }

    fn respond(&mut self, received: Received<'_>, exchange: &mut Exchange<'_>) -> Next {
        let Received { request, line, framing } = received;
        if let Some(record) = exchange.record.as_deref_mut() {
            log_request(record, &request, line);
        }
        let is_head = *request.method() == Method::HEAD;
        let is_old = request.version() == Version::HTTP_10;
        self.asked_head = is_head;
        let mut body = TrackedBody::new(exchange.body, framing);
        let answer = if request.uri().path() == "*" {
            let mut nothing = Response::new(Content::EMPTY);
            *nothing.status_mut() = StatusCode::NO_CONTENT;
            *nothing.headers_mut() = self.fields.as_deref().cloned().unwrap_or_default();
            nothing
        } else {
            self.service.call(request, &mut body)
        };
        let keep = framing.keep && !exchange.last && body.leaves_connection_usable();
        if let Some(record) = exchange.record.as_deref_mut() {
            record.status = Some(answer.status().as_u16());
            if let Some(ClientIdentity { client, user }) = answer.extensions().get() {
                let client = client.map(|client| ("client", client.to_string()));
                let user = user.clone().map(|user| ("user", user));
                record.fields.extend(client.into_iter().chain(user));
            }
        }
        let context = Context { is_head, is_old, keep };
        let begin = exchange.reply.bytes().len();
        let next = answer::write(answer, context, exchange.now, &mut self.date, exchange.reply);
        if let Some(record) = exchange.record.as_deref_mut() {
            record.head_bytes = head_bytes(&exchange.reply.bytes()[begin..]);
        }
        next
    }

    fn timed_out(&mut self, rest: &[u8], exchange: &mut Exchange<'_>) {
        // An idle connection is closed without an answer: the client would take one for the answer
        // to its next request, which may be on its way.
        if !rest.is_empty() {
            let late = "the request timed out";
            let answer = refusal::refusal(StatusCode::REQUEST_TIMEOUT, late);
            self.refuse_with(answer.answer(), rest, exchange);
        }
    }

    fn refuse(&mut self, malformed: &Malformed, rest: &[u8], exchange: &mut Exchange<'_>) {
        // The driver's own limits carry no HTTP answer.
        let head = "the request head is too large";
        let own = || refusal::refusal(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, head);
        match malformed.answer() {
            b"" => self.refuse_with(own().answer(), rest, exchange),
            answer => self.refuse_with(answer, rest, exchange),
        }
    }
}

impl<S> fmt::Debug for Http<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// The length of a reply's head.
fn head_bytes(reply: &[u8]) -> usize {
    memchr::memmem::find(reply, b"\r\n\r\n").map_or(reply.len(), |at| at + 4)
}

/// Enters a request into the access log.
fn log_request(record: &mut AccessRecord, request: &Request<()>, line: &[u8]) {
    record.request = String::from_utf8_lossy(line).into_owned();
    let names =
        [(header::HOST, "host"), (header::REFERER, "referer"), (header::USER_AGENT, "user_agent")];
    for (name, field) in names {
        if let Some(value) = request.headers().get(name) {
            let text = String::from_utf8_lossy(value.as_bytes()).into_owned();
            record.fields.push((field, text));
        }
    }
}

/// Reads a body and tracks how much of it is left.
struct TrackedBody<'a> {
    body: &'a mut dyn Read,
    framing: Framing,
    /// The unread bytes of a body with a length.
    left: u64,
    /// True if the service tried to read, so that the client was sent its `100 Continue`.
    begun: bool,
    ended: bool,
    failed: bool,
}

impl<'a> TrackedBody<'a> {
    fn new(body: &'a mut dyn Read, framing: Framing) -> TrackedBody<'a> {
        let (left, ended) = match framing.end {
            BodyEnd::Empty => (0, true),
            BodyEnd::Length(length) => (length, false),
            BodyEnd::Chunked => (0, false),
        };
        TrackedBody { body, framing, left, begun: false, ended, failed: false }
    }

    /// Tells whether the next request can be found after the body: the body was read, or its rest
    /// is small and on its way. A client that still waits for `100 Continue` may send either the
    /// body or the next request, so its connection is not usable.
    fn leaves_connection_usable(&self) -> bool {
        let is_coming = self.begun || !self.framing.expects;
        let is_small = match self.framing.end {
            BodyEnd::Chunked => false,
            BodyEnd::Empty | BodyEnd::Length(_) => self.left <= UNREAD_BODY_BYTES_MAX,
        };
        !self.failed && (self.ended || is_small && is_coming)
    }
}

impl Read for TrackedBody<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.ended || buf.is_empty() {
            return Ok(0);
        }
        self.begun = true;
        let read = self.body.read(buf).inspect_err(|_| self.failed = true)?;
        self.left = self.left.saturating_sub(read as u64);
        self.ended = read == 0;
        Ok(read)
    }
}
