//! The [`Service`] trait and the responses that it returns, independent of the transport.

use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Response, StatusCode, header};

/// A response with the source of its body.
pub type Answer = Response<Content>;

/// The client of a request as the service knows it, better than the connection does: an
/// extension of the [`Answer`], for the access log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The client's address, as reported by a proxy.
    pub client: Option<IpAddr>,
    /// The user's name, authenticated; if the status is `401` or `429`, only claimed.
    pub user: Option<String>,
}

/// Answers requests: static files, a CGI folder, or a closure.
///
/// It is called for every method and every target, except `CONNECT`, `TRACE` and `OPTIONS *`.
///
/// The protocol sets the fields that belong to the connection (`Date`, `Connection`,
/// `Content-Length` or `Transfer-Encoding`), whatever the service has set. A service closes the
/// connection with `Connection: close`. It may answer a `HEAD` request like a `GET`: the body is
/// left out. If its answer to a `HEAD` has no body, or if it answers `304`, its `Content-Length` is
/// sent as the length of the body that is left out. Informational statuses are not final answers:
/// they become `500`.
pub trait Service {
    /// Answers one request. `body` is the request's body, empty if it has none. After an error of
    /// `body` any response may be returned: a client that broke its own request gets `400`
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
    /// Bytes of this response alone.
    Bytes(Cow<'static, [u8]>),
    /// Bytes shared with others: a small file that is kept in memory.
    Shared(Arc<[u8]>),
    /// A range of a file.
    File {
        /// The file.
        file: Arc<File>,
        /// The position of the range's first byte.
        offset: u64,
        /// The number of bytes.
        len: u64,
    },
    /// The bytes of a reader: `len` of them, or all until its end (in chunks, or for HTTP/1.0 until
    /// the connection's end).
    Reader {
        /// The reader.
        reader: Box<dyn Read>,
        /// The number of bytes, if it is known.
        len: Option<u64>,
    },
    /// The bytes of a reader, for as long as the client stays; every read is sent at once.
    Endless(Box<dyn Read>),
}

impl Content {
    /// An empty body.
    pub const EMPTY: Content = Content::Bytes(Cow::Borrowed(b""));

    /// The number of bytes, if it is known.
    pub fn len(&self) -> Option<u64> {
        match self {
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            Content::Shared(bytes) => Some(bytes.len() as u64),
            Content::File { len, .. } => Some(*len),
            Content::Reader { len, .. } => *len,
            Content::Endless(_) => None,
        }
    }

    /// Tells whether the body is known to be empty.
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

/// Makes an answer of plain text.
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
