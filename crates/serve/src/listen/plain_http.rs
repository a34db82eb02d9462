//! The answer to plain HTTP on a TLS port.
//!
//! A TLS alert would tell such a client nothing. It gets an answer that it understands, as from
//! nginx, Apache and Caddy.

use std::time::SystemTime;

use overlapped::time::Instant;
use overlapped_wire::AccessRecord;

use crate::session::{Connection, End, close};
use crate::state::MinimumRate;
use crate::telemetry::Escaped;

const TEXT: &str = "This port is for HTTPS, and the request came by plain HTTP.\n";

/// Answers `400`, logs that in both logs, and closes. `received` is the beginning of the request.
#[cold]
pub(super) fn refuse(connection: &Connection, received: &[u8]) {
    let begin = Instant::now();
    let context = connection.context();
    let line = received.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let request = String::from_utf8_lossy(line).into_owned();
    if let Some(suppressed) = context.warnings.borrow_mut().plain_http.allow() {
        tracing::warn!(
            "{} was answered 400: it speaks plain HTTP, and {} is for HTTPS ({:?}){suppressed}",
            connection.peer(),
            context.listener.address,
            Escaped(&request)
        );
    }
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        TEXT.len()
    );
    let body = if received.starts_with(b"HEAD ") { "" } else { TEXT };
    let answer = format!("{head}{body}");
    let sent = connection.send(answer.as_bytes(), &mut MinimumRate::of_reader(&context.limits));
    if let Some(log) = &context.log {
        let head_bytes = head.len();
        let record =
            AccessRecord { request, status: Some(400), head_bytes, ..AccessRecord::default() };
        let line = log.line(connection.peer(), SystemTime::now(), &record, begin.elapsed());
        let bytes = connection.sent().saturating_sub(head_bytes as u64);
        log.write(std::iter::once((line, bytes)));
    }
    let end = sent.map_or_else(End::Failed, |()| End::Closed);
    close(connection, &end);
}
