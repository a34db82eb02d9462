//! What a client is told whose request is not one.

use http::StatusCode;

use crate::{AccessRecord, Malformed};

/// A request that is refused with `status`: a whole response, without `Date`, since nobody has told
/// the time by then.
pub(crate) fn refusal(status: StatusCode, reason: &'static str) -> Malformed {
    let phrase = status.canonical_reason().unwrap_or_default();
    let code = status.as_u16();
    let body_bytes = reason.len() + 2;
    let answer = format!(
        "HTTP/1.1 {code} {phrase}\r\nConnection: close\r\n\
         Content-Type: text/plain; charset=utf-8\r\nContent-Length: {body_bytes}\r\n\r\n{reason}.\n"
    );
    Malformed::new(reason, answer)
}

/// The most frequent one.
pub(crate) fn bad(reason: &'static str) -> Malformed {
    refusal(StatusCode::BAD_REQUEST, reason)
}

/// A refusal's answer in three: the status line, the other fields, the body.
pub(crate) fn parts(answer: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let after = |text: &[u8]| memchr::memmem::find(answer, text).map(|at| at + text.len());
    let fields = after(b"\r\n").unwrap_or(answer.len());
    let body = after(b"\r\n\r\n").unwrap_or(answer.len()).max(fields);
    (&answer[..fields], &answer[fields..body], &answer[body..])
}

/// The status of a refusal's answer.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Tells the access log of a request that was never understood: its first line, as far as it has
/// come.
pub(crate) fn record(record: &mut AccessRecord, rest: &[u8], line_bytes_max: usize) {
    let rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()).min(line_bytes_max);
    if end > 0 {
        record.request = String::from_utf8_lossy(&rest[..end]).into_owned();
    }
}
