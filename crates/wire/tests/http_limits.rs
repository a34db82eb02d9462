//! Limits hold exactly: a request at the limit passes, and one above it is refused (danger H7).

mod support;

use overlapped_wire::http::{Http, Limits};
use support::{End, Outcome, byte_by_byte, status, whole_input};

/// Returns the statuses of all replies, and checks that they are the same whether the input comes
/// as a whole or byte by byte.
fn statuses(limits: Limits, whole: &[u8]) -> Vec<u16> {
    let outcome = whole_input(&mut Http::with_limits(support::Mirror, limits), whole);
    let byte_wise = byte_by_byte(&mut Http::with_limits(support::Mirror, limits), whole);
    assert_eq!(outcome, byte_wise);
    let Outcome { served, end } = outcome;
    let mut statuses: Vec<u16> = served.iter().map(|one| status(&one.reply)).collect();
    match end {
        End::Malformed { reply, .. } => statuses.push(status(&reply)),
        End::Finished { rest, .. } => assert!(rest.is_empty()),
        end => panic!("ended with {end:?}"),
    }
    statuses
}

/// Checks that the request `make(limit)` passes, and that `make(limit + 1)` is answered with the
/// status `refused`. Returns the number of requests.
fn edge(limits: Limits, limit: usize, refused: u16, make: impl Fn(usize) -> Vec<u8>) -> u64 {
    for below in [limit.saturating_sub(1), limit] {
        assert_eq!(statuses(limits, &make(below)), [200], "at {below}");
    }
    assert_eq!(statuses(limits, &make(limit + 1)), [refused], "at {limit} and one more");
    assert_eq!(statuses(limits, &make(limit * 3 + 7)), [refused], "far above {limit}");
    4
}

fn with_line(bytes: usize) -> Vec<u8> {
    let target = "a".repeat(bytes - "GET / HTTP/1.1".len());
    format!("GET /{target} HTTP/1.1\r\nHost: a\r\n\r\n").into_bytes()
}

fn with_fields(fields: usize) -> Vec<u8> {
    let rest: String = (1..fields).map(|field| format!("F{field}: x\r\n")).collect();
    format!("GET / HTTP/1.1\r\nHost: a\r\n{rest}\r\n").into_bytes()
}

fn with_head(bytes: usize) -> Vec<u8> {
    let rest = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
    format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(bytes - rest)).into_bytes()
}

fn with_length(bytes: usize) -> Vec<u8> {
    let body = "b".repeat(bytes);
    format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {bytes}\r\n\r\n{body}").into_bytes()
}

fn with_chunks(bytes: usize) -> Vec<u8> {
    let mut whole = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for begin in (0..bytes).step_by(1000) {
        let size = (bytes - begin).min(1000);
        whole.extend(format!("{size:x}\r\n{}\r\n", "b".repeat(size)).bytes());
    }
    whole.extend(b"0\r\n\r\n");
    whole
}

fn with_trailer(trailer: &str) -> Vec<u8> {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}0\r\n{trailer}\r\n").into_bytes()
}

#[test]
fn h7_each_limit_of_a_request_holds_exactly_at_its_edge() {
    let usual = Limits::default();
    let mut checks = 0;
    checks += edge(usual, 8 * 1024, 414, with_line);
    checks += edge(usual, 100, 431, with_fields);
    checks += edge(usual, 32 * 1024, 431, with_head);
    let body = Limits { body_bytes_max: 5000, ..usual };
    checks += edge(body, 5000, 413, with_length);
    checks += edge(body, 5000, 413, with_chunks);
    let trailer = |bytes: usize| with_trailer(&format!("X:{}\r\n", "x".repeat(bytes - 6)));
    checks += edge(usual, 32 * 1024, 431, trailer);
    let trailers = |fields: usize| with_trailer(&"X: y\r\n".repeat(fields));
    checks += edge(usual, 100, 431, trailers);
    println!("RELIABILITY H7 {checks} requests at the edge of 7 limits and beyond: 414, 431, 413");
}

#[test]
fn h7_limits_of_any_size_hold_at_their_edge() {
    let mut checks = 0;
    for size in [40, 41, 63, 64, 100, 255, 256] {
        let limits = Limits {
            line_bytes_max: size,
            fields_max: size,
            head_bytes_max: 4 * size * size,
            body_bytes_max: size as u64,
        };
        checks += edge(limits, size, 414, with_line);
        checks += edge(limits, size, 431, with_fields);
        checks += edge(limits, 4 * size * size, 431, with_head);
        checks += edge(limits, size, 413, with_length);
        checks += edge(limits, size, 413, with_chunks);
    }
    println!("RELIABILITY H7 {checks} requests at the edge of limits of other sizes");
}

#[test]
fn more_fields_than_the_parser_has_room_for_are_refused() {
    let limits = Limits { fields_max: usize::MAX, ..Limits::default() };
    assert_eq!(statuses(limits, &with_fields(Limits::FIELDS_MAX)), [200]);
    assert_eq!(statuses(limits, &with_fields(Limits::FIELDS_MAX + 1)), [431]);
}

#[test]
fn the_limit_that_is_exceeded_first_decides_the_status() {
    let limits = Limits { line_bytes_max: 1000, head_bytes_max: 60, ..Limits::default() };
    assert_eq!(statuses(limits, &with_line(61)), [431]);
    let limits = Limits { line_bytes_max: 60, head_bytes_max: 62, ..Limits::default() };
    assert_eq!(statuses(limits, &with_line(61)), [414]);
}

#[test]
fn an_empty_line_before_the_request_counts_for_no_limit() {
    let whole = [b"\r\n", &with_line(60)[..]].concat();
    let head_bytes_max = whole.len() - 2;
    let limits = Limits { line_bytes_max: 60, head_bytes_max, ..Limits::default() };
    assert_eq!(statuses(limits, &whole), [200]);
    let smaller = Limits { head_bytes_max: head_bytes_max - 1, ..limits };
    assert_eq!(statuses(smaller, &whole), [431]);
}

#[test]
fn extensions_of_chunks_may_not_outgrow_the_body() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let with = |chunks: usize, data: usize, extension: usize| {
        let (data, extension) = ("d".repeat(data), "e".repeat(extension - 1));
        let chunk = format!("{:x};{extension}\r\n{data}\r\n", data.len());
        format!("{head}{}0\r\n\r\n", chunk.repeat(chunks)).into_bytes()
    };
    assert_eq!(statuses(Limits::default(), &with(1, 1, 8 * 1024)), [200]);
    assert_eq!(statuses(Limits::default(), &with(1, 1, 8 * 1024 + 1)), [400]);
    assert_eq!(statuses(Limits::default(), &with(200, 100, 100)), [200], "paid for by data");
    assert_eq!(statuses(Limits::default(), &with(200, 1, 100)), [400]);
}
