//! A client that speaks plain HTTP where TLS is spoken.
//!
//! An alert of TLS would tell it nothing: it gets an answer that it understands, as from nginx,
//! Apache and Caddy.

use std::time::SystemTime;

use overlapped::time::Instant;
use overlapped_wire::AccessRecord;

use crate::Connection;
use crate::session::{self, End, Pace};
use crate::watch::Escaped;

const TEXT: &str = "This port is for HTTPS, and the request came by plain HTTP.\n";

/// Answers `400`, says so in both logs, and closes. `come` is what has come of the request.
#[cold]
pub(super) fn turn_away(connection: &Connection, come: &[u8]) {
    let begin = Instant::now();
    let venue = connection.venue();
    let line = come.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let request = String::from_utf8_lossy(line).into_owned();
    if let Some(more) = venue.complaints.borrow_mut().plain_http.now() {
        tracing::warn!(
            "{} was answered 400: it speaks plain HTTP, and {} is for HTTPS ({:?}){more}",
            connection.peer(),
            venue.front.address,
            Escaped(&request)
        );
    }
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        TEXT.len()
    );
    let body = if come.starts_with(b"HEAD ") { "" } else { TEXT };
    let answer = format!("{head}{body}");
    let sent = connection.send(answer.as_bytes(), &mut Pace::of_reader(&venue.limits));
    if let Some(log) = &venue.log {
        let head_bytes = head.len();
        let record =
            AccessRecord { request, status: Some(400), head_bytes, ..AccessRecord::default() };
        let line = log.line(connection.peer(), SystemTime::now(), &record, begin.elapsed());
        let bytes = connection.sent().saturating_sub(head_bytes as u64);
        log.write(std::iter::once((line, bytes)));
    }
    let end = sent.map_or_else(End::Failed, |()| End::Closed);
    session::close(connection, &end);
}
