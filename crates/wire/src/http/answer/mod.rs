//! Writes an answer: status line, fields, and what the body is made of.
//!
//! Fields that belong to the connection are written here, whatever the service has set: where a
//! body ends must be said once, and truly. Names and values of the others have no control bytes,
//! which their types see to, so no answer can be made two.

mod date;
mod pieces;

use std::io::Cursor;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::service::{Answer, Content};
use crate::{Next, Part, Reply};
use pieces::Pieces;

pub(crate) use date::Date;

/// Larger bodies are not copied as a whole into the buffer of the replies.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// What the answer depends on besides itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// The request was a `HEAD`.
    pub(crate) is_head: bool,
    /// The client speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// The connection can be kept.
    pub(crate) keep: bool,
}

/// How the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// By a number.
    Length(u64),
    /// By chunks.
    Chunks,
    /// By the connection's end.
    Close,
    /// There never is a body with this status, so nothing is said of it.
    Unsaid,
}

pub(crate) fn write(
    answer: Answer,
    manner: Manner,
    now: SystemTime,
    date: &mut Date,
    reply: &mut Reply,
) -> Next {
    let (mut head, mut content) = answer.into_parts();
    if head.status.is_informational() {
        // An answer that is none would leave the client waiting for one.
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        head.headers.clear();
        content = Content::EMPTY;
    }
    let is_bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if head.status == StatusCode::RESET_CONTENT {
        content = Content::EMPTY;
    }
    let end = end(&head.headers, head.status, &content, manner);
    let keep = manner.keep && !closes(&head.headers) && end != End::Close;

    let out = reply.buffer();
    status_line(head.status, out);
    date.write(now, out);
    if !keep {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if manner.is_old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    fields(&head.headers, out);
    match end {
        End::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        End::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        End::Close | End::Unsaid => out.extend_from_slice(b"\r\n"),
    }
    if !manner.is_head && !is_bodiless {
        body(content, end, reply);
    }
    if keep { Next::Keep } else { Next::Close }
}

/// Writes fields, but for those that are this module's to write.
pub(crate) fn fields(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if !is_of_connection(name) {
            field(name.as_str(), value.as_bytes(), out);
        }
    }
}

fn end(headers: &HeaderMap, status: StatusCode, content: &Content, manner: Manner) -> End {
    if status == StatusCode::NO_CONTENT {
        return End::Unsaid;
    }
    let is_not_modified = status == StatusCode::NOT_MODIFIED;
    if content.is_empty() && (manner.is_head || is_not_modified) {
        // The length of what is not sent: known to the service only.
        return match said_length(headers) {
            Some(length) => End::Length(length),
            None if is_not_modified => End::Unsaid,
            None => End::Length(0),
        };
    }
    match content.len() {
        Some(length) => End::Length(length),
        None if !manner.is_old => End::Chunks,
        None if manner.is_head || is_not_modified => End::Unsaid,
        None => End::Close,
    }
}

/// The number that the service has set, if it is one.
fn said_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Whether the service wants the connection closed.
fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|&byte| byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// Whether the field is this module's to write, or nobody's.
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "date"
            | "keep-alive"
            | "proxy-connection"
            | "transfer-encoding"
    )
}

fn status_line(status: StatusCode, out: &mut Vec<u8>) {
    if status == StatusCode::OK {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// One field, with capitals where people write them: some clients look for them.
fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let begin = out.len();
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name.as_bytes());
    let mut is_first = true;
    for byte in &mut out[begin..] {
        if is_first {
            byte.make_ascii_uppercase();
        }
        is_first = *byte == b'-';
    }
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn body(content: Content, end: End, reply: &mut Reply) {
    if content.is_empty() {
        return;
    }
    let is_chunked = end == End::Chunks;
    match content {
        Content::Bytes(bytes) if bytes.len() <= COPIED_BYTES_MAX => reply.extend(&bytes),
        Content::Bytes(bytes) => {
            let len = bytes.len() as u64;
            reply.reader(Cursor::new(bytes), len);
        }
        Content::Shared(bytes) if bytes.len() <= COPIED_BYTES_MAX => reply.extend(&bytes),
        Content::Shared(bytes) => {
            let len = bytes.len() as u64;
            reply.reader(Cursor::new(bytes), len);
        }
        Content::File { file, offset, len } => reply.file(file, offset, len),
        Content::Reader { reader, len: None } if is_chunked => {
            reply.reader(Pieces::new(reader), None);
        }
        Content::Reader { reader, len } => reply.part(Part::Reader { reader, len }),
        Content::Endless(reader) if is_chunked => reply.endless(Pieces::new(reader)),
        Content::Endless(reader) => reply.part(Part::Endless(reader)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_with_capitals() {
        let mut out = Vec::new();
        field("x-content-type-options", b"nosniff", &mut out);
        assert_eq!(out, b"X-Content-Type-Options: nosniff\r\n");
    }

    #[test]
    fn a_status_without_a_phrase_has_a_line() {
        let mut out = Vec::new();
        status_line(StatusCode::from_u16(799).unwrap(), &mut out);
        assert_eq!(out, b"HTTP/1.1 799 \r\n");
    }
}
