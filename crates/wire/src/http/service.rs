//! What answers requests, whatever carries them.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};

/// A response, with what its body is made of.
pub type Answer = Response<Content>;

/// The client of a request, as whoever answered it knows better than the connection does: an
/// extension of the [`Answer`], for the access log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// Its address, which a proxy has told.
    pub client: Option<IpAddr>,
    /// Its name, which it has proven; where the status is `401` or `429`, it has only tried it.
    pub user: Option<String>,
}

/// Answers requests: static files, a CGI folder, or a closure.
///
/// It is asked for every method and every target, but for `CONNECT`, `TRACE` and `OPTIONS *`. What
/// it returns gets the fields that belong to the connection (`Date`, `Connection`,
/// `Content-Length` or `Transfer-Encoding`) from the protocol, whatever it has set itself; with
/// `Connection: close` it closes the connection. To a `HEAD` request it may answer as to a `GET`,
/// and the body is left out; if it makes no body then, or answers `304`, its `Content-Length` is
/// sent as the length of what is left out. Informational statuses are no answers: they become
/// `500`.
pub trait Service {
    /// Answers one request. `body` is the request's body, empty where it has none; an error from
    /// it may be returned as any response, since a client that broke its own request gets `400`
    /// instead.
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer;
}

impl<F: FnMut(http::Request<()>, &mut dyn Read) -> Answer> Service for F {
    fn call(&mut self, request: http::Request<()>, body: &mut dyn Read) -> Answer {
        self(request, body)
    }
}

/// The body of a response.
pub enum Content {
    /// These bytes.
    Bytes(Cow<'static, [u8]>),
    /// Bytes that others share: a small file that is kept in memory.
    Shared(Arc<[u8]>),
    /// So many bytes of a file, from an offset on.
    File {
        /// The file.
        file: Arc<File>,
        /// Where in it.
        offset: u64,
        /// How many bytes.
        len: u64,
    },
    /// What a reader gives: so many bytes, or all until its end (chunked, or until the connection's
    /// end for HTTP/1.0).
    Reader {
        /// The reader.
        reader: Box<dyn Read>,
        /// How many bytes, if that is known.
        len: Option<u64>,
    },
    /// What a reader gives, for as long as the client listens; every piece is sent at once.
    Endless(Box<dyn Read>),
}

impl Content {
    /// No body.
    pub const EMPTY: Content = Content::Bytes(Cow::Borrowed(b""));

    /// How many bytes it is, if that is known.
    pub fn len(&self) -> Option<u64> {
        match self {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Shared(bytes) => Some(bytes.len() as u64),
            Content::File { len, .. } => Some(*len),
            Content::Reader { len, .. } => *len,
            Content::Endless(_) => None,
        }
    }

    /// Whether it is known to be nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Content::Shared(bytes) => write!(f, "Shared({})", bytes.len()),
            Content::File { offset, len, .. } => write!(f, "File({len} bytes at {offset})"),
            Content::Reader { len, .. } => write!(f, "Reader({len:?})"),
            Content::Endless(_) => f.write_str("Endless"),
        }
    }
}

/// An answer of plain text.
///
/// ```
/// let answer = overlapped_wire::http::text(http::StatusCode::NOT_FOUND, "no such page\n");
/// assert_eq!(answer.status(), 404);
/// ```
pub fn text(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Answer {
    let bytes = match text.into() {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    };
    let mut answer = Response::new(Content::Bytes(bytes));
    *answer.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, kind);
    answer
}
