//! Writes an answer: status line, fields, and body.
//!
//! The fields that belong to the connection are written here, whatever the service has set: the
//! body's end must be given once and correctly. Names and values of the other fields contain no
//! control bytes, which their types guarantee, so one answer cannot be split into two.

mod chunked;
mod date;

use std::io::Cursor;
use std::time::SystemTime;

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::service::{Answer, Content};
use crate::{Next, Part, Reply};
use chunked::ChunkEncoder;

pub(crate) use date::Date;

/// The largest body that is copied into the buffer of the replies.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// The properties of the request and the connection that the answer depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Context {
    /// True if the request was a `HEAD`.
    pub(crate) is_head: bool,
    /// True if the client speaks HTTP/1.0.
    pub(crate) is_old: bool,
    /// True if the connection can be kept.
    pub(crate) keep: bool,
}

/// The way in which the client finds the end of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    /// By its length.
    Length(u64),
    /// By chunks.
    Chunks,
    /// By the end of the connection.
    Close,
    /// No body follows, and no framing is written.
    Absent,
}

pub(crate) fn write(
    answer: Answer,
    context: Context,
    now: SystemTime,
    date: &mut Date,
    reply: &mut Reply,
) -> Next {
    let (mut head, mut content) = answer.into_parts();
    if head.status.is_informational() {
        // After an informational status the client would wait for the final one.
        head.status = StatusCode::INTERNAL_SERVER_ERROR;
        head.headers.clear();
        content = Content::EMPTY;
    }
    let is_bodiless = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&head.status);
    if head.status == StatusCode::RESET_CONTENT {
        content = Content::EMPTY;
    }
    let framing = framing(&head.headers, head.status, &content, context);
    let keep = context.keep && !closes(&head.headers) && framing != BodyFraming::Close;

    let out = reply.buffer();
    status_line(head.status, out);
    date.write(now, out);
    if !keep {
        out.extend_from_slice(b"Connection: close\r\n");
    } else if context.is_old {
        out.extend_from_slice(b"Connection: keep-alive\r\n");
    }
    fields(&head.headers, out);
    match framing {
        BodyFraming::Length(length) => {
            out.extend_from_slice(b"Content-Length: ");
            out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
            out.extend_from_slice(b"\r\n\r\n");
        }
        BodyFraming::Chunks => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n"),
        BodyFraming::Close | BodyFraming::Absent => out.extend_from_slice(b"\r\n"),
    }
    if !context.is_head && !is_bodiless {
        body(content, framing, reply);
    }
    if keep { Next::Keep } else { Next::Close }
}

/// Writes all fields except those of the connection.
pub(crate) fn fields(headers: &HeaderMap, out: &mut Vec<u8>) {
    for (name, value) in headers {
        if !is_of_connection(name) {
            field(name.as_str(), value.as_bytes(), out);
        }
    }
}

fn framing(
    headers: &HeaderMap,
    status: StatusCode,
    content: &Content,
    context: Context,
) -> BodyFraming {
    if status == StatusCode::NO_CONTENT {
        return BodyFraming::Absent;
    }
    let is_not_modified = status == StatusCode::NOT_MODIFIED;
    if content.is_empty() && (context.is_head || is_not_modified) {
        // The length of the body that is left out: only the service knows it.
        return match given_length(headers) {
            Some(length) => BodyFraming::Length(length),
            None if is_not_modified => BodyFraming::Absent,
            None => BodyFraming::Length(0),
        };
    }
    match content.len() {
        Some(length) => BodyFraming::Length(length),
        None if !context.is_old => BodyFraming::Chunks,
        None if context.is_head || is_not_modified => BodyFraming::Absent,
        None => BodyFraming::Close,
    }
}

/// Parses the `Content-Length` that the service has set.
fn given_length(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(header::CONTENT_LENGTH)?.to_str().ok()?;
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Tells whether the service asks to close the connection.
fn closes(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONNECTION).iter().any(|value| {
        let mut options = value.as_bytes().split(|&byte| byte == b',');
        options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"))
    })
}

/// Tells whether the field belongs to the connection, so that a service cannot set it.
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

/// Writes one field, its name capitalized as usual: some clients compare names case-sensitively.
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

fn body(content: Content, framing: BodyFraming, reply: &mut Reply) {
    if content.is_empty() {
        return;
    }
    let is_chunked = framing == BodyFraming::Chunks;
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
            reply.reader(ChunkEncoder::new(reader), None);
        }
        Content::Reader { reader, len } => reply.part(Part::Reader { reader, len }),
        Content::Endless(reader) if is_chunked => reply.endless(ChunkEncoder::new(reader)),
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
