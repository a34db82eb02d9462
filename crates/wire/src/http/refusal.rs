//! Refusals of malformed requests.

use http::StatusCode;

use crate::{AccessRecord, Malformed};

/// Makes the refusal of a request with `status`. Its answer is a whole response without `Date`,
/// because the time is unknown here.
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

/// Makes a refusal with status 400.
pub(crate) fn bad(reason: &'static str) -> Malformed {
    refusal(StatusCode::BAD_REQUEST, reason)
}

/// Splits a refusal's answer into the status line, the header fields and the body.
pub(crate) fn parts(answer: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let after = |text: &[u8]| memchr::memmem::find(answer, text).map(|at| at + text.len());
    let fields = after(b"\r\n").unwrap_or(answer.len());
    let body = after(b"\r\n\r\n").unwrap_or(answer.len()).max(fields);
    (&answer[..fields], &answer[fields..body], &answer[body..])
}

/// Reads the status of a refusal's answer.
pub(crate) fn status(answer: &[u8]) -> Option<u16> {
    std::str::from_utf8(answer.get(9..12)?).ok()?.parse().ok()
}

/// Enters an unparsed request into the access log: its first line, as far as it has arrived.
pub(crate) fn log_first_line(record: &mut AccessRecord, rest: &[u8], line_bytes_max: usize) {
    let rest = rest.strip_prefix(b"\r\n").unwrap_or(rest);
    let end = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len()).min(line_bytes_max);
    if end > 0 {
        record.request = String::from_utf8_lossy(&rest[..end]).into_owned();
    }
}
