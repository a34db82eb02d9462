//! Answers of HTTP: heads, bodies, and the fate of the connection.

mod support;

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::atomic::{AtomicUsize, Ordering};

use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use overlapped_wire::http::{Answer, Content, Http, text};
use overlapped_wire::{Exchange, Next, Protocol, Reply};
use support::{End, status, whole_input};

/// Returns all bytes that a client gets that sends `input`, answered by `service`.
fn sent(service: impl FnMut(Request<()>, &mut dyn Read) -> Answer, input: &str) -> (String, End) {
    let outcome = whole_input(&mut Http::new(service), input.as_bytes());
    (String::from_utf8(outcome.output()).unwrap(), outcome.end)
}

fn ok(content: Content) -> Answer {
    Response::new(content)
}

/// Returns the fields of the first head in `output`, sorted, without the date.
fn fields(output: &str) -> Vec<&str> {
    let head = output.split("\r\n\r\n").next().unwrap();
    let mut fields: Vec<&str> =
        head.split("\r\n").skip(1).filter(|field| !field.starts_with("Date:")).collect();
    fields.sort();
    fields
}

fn body(output: &str) -> &str {
    output.split_once("\r\n\r\n").unwrap().1
}

const KEPT: End = End::Finished { rest: vec![], reply: vec![] };

#[test]
fn an_answer_has_date_and_length() {
    let (output, end) =
        sent(|_, _| text(StatusCode::NOT_FOUND, "nothing\n"), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let wanted = "HTTP/1.1 404 Not Found\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
                  Content-Type: text/plain; charset=utf-8\r\nContent-Length: 8\r\n\r\nnothing\n";
    assert_eq!(output, wanted);
    assert_eq!(end, KEPT);
}

#[test]
fn a_connection_is_kept_as_the_client_wants_it() {
    let cases = [
        ("HTTP/1.1", "", true, None),
        ("HTTP/1.1", "Connection: keep-alive\r\n", true, None),
        ("HTTP/1.1", "Connection: close\r\n", false, Some("Connection: close")),
        ("HTTP/1.1", "Connection: TE, Close\r\n", false, Some("Connection: close")),
        ("HTTP/1.1", "Connection: x\r\nConnection: close\r\n", false, Some("Connection: close")),
        ("HTTP/1.1", "Connection: closed\r\n", true, None),
        ("HTTP/1.0", "", false, Some("Connection: close")),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", true, Some("Connection: keep-alive")),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", false, Some("Connection: close")),
    ];
    for (version, field, keeps, wanted) in cases {
        let input = format!("GET / {version}\r\nHost: a\r\n{field}\r\n");
        let (output, end) = sent(|_, _| ok(Content::EMPTY), &input);
        let logged = fields(&output).into_iter().find(|field| field.starts_with("Connection"));
        assert_eq!(logged, wanted, "{input}");
        assert_eq!(end, if keeps { KEPT } else { End::Closed }, "{input}");
        assert!(output.starts_with("HTTP/1.1 200 OK\r\n"));
    }
}

#[test]
fn requests_behind_one_another_are_answered_in_order() {
    let input = "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n\
                 POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody\
                 GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n\
                 GET /4 HTTP/1.1\r\nHost: a\r\n\r\n";
    let outcome = whole_input(&mut support::mirror(), input.as_bytes());
    let first_lines: Vec<String> =
        outcome.served.iter().map(|one| one.record.request.clone()).collect();
    assert_eq!(first_lines, ["GET /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
    assert_eq!(outcome.end, End::Closed);
    assert!(outcome.served[1].reply.ends_with(b"content-length: 4\n\nbody"));
}

#[test]
fn the_server_says_close_when_it_stops_or_the_service_wants_it() {
    let mut http = Http::new(|_: Request<()>, _: &mut dyn Read| ok(Content::EMPTY));
    let input = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let Ok(overlapped_wire::Decoded::Whole { request, .. }) = http.decode(input) else { panic!() };
    let mut reply = Reply::default();
    let mut exchange = Exchange {
        now: support::now(),
        last: true,
        body: &mut io::empty(),
        reply: &mut reply,
        record: None,
    };
    assert_eq!(http.respond(request, &mut exchange), Next::Close);
    let output = String::from_utf8(support::sent(&mut reply)).unwrap();
    assert_eq!(fields(&output), ["Connection: close", "Content-Length: 0"]);

    let wants_close = |_: Request<()>, _: &mut dyn Read| {
        let mut answer = ok(Content::EMPTY);
        answer.headers_mut().append(header::CONNECTION, HeaderValue::from_static("x, Close"));
        answer
    };
    let (output, end) = sent(wants_close, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(fields(&output), ["Connection: close", "Content-Length: 0"]);
    assert_eq!(end, End::Closed);
}

/// A name and a function that makes the content.
type Given = (&'static str, fn() -> Content);

/// Makes the body `hello` in each kind of content.
fn contents() -> Vec<Given> {
    vec![
        ("bytes", || Content::Bytes(b"hello".into())),
        ("file", || {
            static FILES: AtomicUsize = AtomicUsize::new(0);
            let number = FILES.fetch_add(1, Ordering::Relaxed);
            let name = format!("overlapped-wire-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::write(&path, "> hello <").unwrap();
            let file = std::fs::File::open(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            Content::File { file: std::sync::Arc::new(file), offset: 2, len: 5 }
        }),
        ("reader", || Content::Reader { reader: Box::new(&b"hello and more"[..]), len: Some(5) }),
        ("open reader", || Content::Reader { reader: Box::new(&b"hello"[..]), len: None }),
        ("endless", || Content::Endless(Box::new(&b"hello"[..]))),
    ]
}

#[test]
fn bodies_end_where_the_head_says() {
    for (name, content) in contents() {
        let answer = || sent(|_, _| ok(content()), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (output, end) = answer();
        if content().len().is_some() {
            assert_eq!(fields(&output), ["Content-Length: 5"], "{name}");
            assert_eq!(body(&output), "hello", "{name}");
        } else {
            assert_eq!(fields(&output), ["Transfer-Encoding: chunked"], "{name}");
            assert_eq!(body(&output), "5\r\nhello\r\n0\r\n\r\n", "{name}");
        }
        assert_eq!(end, KEPT, "{name}");
    }
}

#[test]
fn a_client_of_1_0_gets_no_chunks() {
    let input = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    for (name, content) in contents() {
        let (output, end) = sent(|_, _| ok(content()), input);
        assert_eq!(body(&output), "hello", "{name}");
        if content().len().is_some() {
            assert_eq!(fields(&output), ["Connection: keep-alive", "Content-Length: 5"], "{name}");
            assert_eq!(end, KEPT);
        } else {
            assert_eq!(fields(&output), ["Connection: close"], "{name}");
            assert_eq!(end, End::Closed);
        }
    }
}

#[test]
fn head_gets_the_head_of_a_get_and_no_body() {
    for (name, content) in contents() {
        let (get, _) = sent(|_, _| ok(content()), "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let (head, end) = sent(|_, _| ok(content()), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(format!("{head}{}", body(&get)), get, "{name}");
        assert_eq!(end, KEPT, "{name}");
        let input = "HEAD / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
        let (old, end) = sent(|_, _| ok(content()), input);
        assert_eq!(body(&old), "", "{name}");
        assert_eq!(end, KEPT, "{name}: no body, so its end need not be told by the connection's");
    }
}

#[test]
fn statuses_without_a_body_get_none() {
    for (name, content) in contents() {
        for (code, lengths) in [(204, [""; 0].as_slice()), (304, &["Content-Length: 5"])] {
            let service = |_: Request<()>, _: &mut dyn Read| {
                let mut answer = ok(content());
                *answer.status_mut() = StatusCode::from_u16(code).unwrap();
                answer
            };
            let (output, end) = sent(service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
            assert_eq!(body(&output), "", "{name} with {code}");
            if content().len().is_some() {
                assert_eq!(fields(&output), lengths, "{name} with {code}");
            }
            assert_eq!(end, KEPT);
        }
    }
    let reset = |_: Request<()>, _: &mut dyn Read| text(StatusCode::RESET_CONTENT, "no");
    let (output, _) = sent(reset, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(output.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{output}");
}

#[test]
fn informational_statuses_are_no_answers() {
    let service = |_: Request<()>, _: &mut dyn Read| text(StatusCode::SWITCHING_PROTOCOLS, "no");
    let (output, _) = sent(service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(output.starts_with("HTTP/1.1 500 "), "{output}");
    assert!(output.ends_with("\r\nContent-Length: 0\r\n\r\n"), "{output}");
}

#[test]
fn a_service_cannot_set_fields_of_the_connection() {
    let service = |_: Request<()>, _: &mut dyn Read| {
        let mut answer = ok(Content::Bytes(b"hello".into()));
        for (name, value) in [
            ("content-length", "3"),
            ("content-length", "99"),
            ("transfer-encoding", "chunked"),
            ("connection", "keep-alive, upgrade"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("date", "yesterday"),
            ("etag", "\"x\""),
            ("set-cookie", "a"),
            ("set-cookie", "b"),
        ] {
            answer.headers_mut().append(name, HeaderValue::from_static(value));
        }
        answer
    };
    let (output, _) = sent(service, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let wanted = ["Content-Length: 5", "Etag: \"x\"", "Set-Cookie: a", "Set-Cookie: b"];
    assert_eq!(fields(&output), wanted);
    assert_eq!(output.matches("Date: ").count(), 1, "{output}");
}

#[test]
fn a_service_sets_the_length_of_a_body_that_is_not_sent() {
    for (method, code) in [("HEAD", 200), ("GET", 304)] {
        for (logged, wanted) in [("77", "Content-Length: 77"), ("7x", "Content-Length: 0")] {
            let service = |_: Request<()>, _: &mut dyn Read| {
                let mut answer = ok(Content::EMPTY);
                *answer.status_mut() = StatusCode::from_u16(code).unwrap();
                let value = HeaderValue::from_static(logged);
                answer.headers_mut().insert(header::CONTENT_LENGTH, value);
                answer
            };
            let input = format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n");
            let (output, _) = sent(service, &input);
            let wanted = if code == 304 && logged == "7x" { vec![] } else { vec![wanted] };
            assert_eq!(fields(&output), wanted, "{method} {logged}");
        }
    }
}

#[test]
fn an_unread_body_closes_the_connection_unless_little_is_left() {
    let head = |fields: &str| format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let small = format!("{}{}", head("Content-Length: 65536\r\n"), "x".repeat(65_536));
    let large = format!("{}{}", head("Content-Length: 65537\r\n"), "x".repeat(65_537));
    let chunked = format!("{}1\r\nx\r\n0\r\n\r\n", head("Transfer-Encoding: chunked\r\n"));
    let waiting = format!("{}x", head("Expect: 100-continue\r\nContent-Length: 1\r\n"));
    let cases = [(small, true), (large, false), (chunked, false), (waiting, false)];
    for (input, keeps) in cases {
        let (output, end) = sent(|_, _| ok(Content::EMPTY), &input);
        assert_eq!(end, if keeps { KEPT } else { End::Closed });
        assert_eq!(fields(&output).contains(&"Connection: close"), !keeps);
        let (_, end) = sent(
            |_, body| {
                io::copy(body, &mut io::sink()).unwrap();
                ok(Content::EMPTY)
            },
            &input,
        );
        assert_eq!(end, KEPT, "whoever reads it may keep the connection");
    }
}

#[test]
fn options_of_the_whole_server_are_answered_without_the_service() {
    let asked = Cell::new(0);
    let service = |_: Request<()>, _: &mut dyn Read| {
        asked.set(asked.get() + 1);
        ok(Content::EMPTY)
    };
    let (output, end) = sent(service, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(output.starts_with("HTTP/1.1 204 No Content\r\n"), "{output}");
    assert_eq!((asked.get(), end), (0, KEPT));
    sent(service, "OPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(asked.get(), 1);
}

#[test]
fn the_targets_host_goes_before_the_field() {
    let input = "GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n";
    let (output, _) = sent(
        |request, _| {
            assert_eq!(request.headers().get_all("host").iter().collect::<Vec<_>>(), ["b:81"]);
            assert_eq!(request.uri().path_and_query().unwrap(), "/x?y");
            ok(Content::EMPTY)
        },
        input,
    );
    assert!(output.starts_with("HTTP/1.1 200 "));
}

#[test]
fn a_late_request_gets_an_answer_and_an_idle_connection_gets_none() {
    for (rest, wanted) in [(&b""[..], None), (b"GET / HT", Some(408)), (b"HEAD / HT", Some(408))] {
        let mut reply = Reply::default();
        let mut record = overlapped_wire::AccessRecord::default();
        let mut exchange = Exchange {
            now: support::now(),
            last: false,
            body: &mut io::empty(),
            reply: &mut reply,
            record: Some(&mut record),
        };
        support::mirror().timed_out(rest, &mut exchange);
        let output = support::sent(&mut reply);
        assert_eq!((!output.is_empty()).then(|| status(&output)), wanted);
        assert_eq!(record.status, wanted);
        assert_eq!(record.request.as_bytes(), rest);
        assert_eq!(output.ends_with(b"\r\n\r\n"), rest.starts_with(b"HEAD"), "no body for HEAD");
    }
}

#[test]
fn the_access_log_gets_line_status_and_usual_fields() {
    let input = "GET /%41?b HTTP/1.1\r\nHost: a\r\nReferer: http://r/\r\nUser-Agent: me\r\n\r\n";
    let outcome = whole_input(&mut support::mirror(), input.as_bytes());
    let record = &outcome.served[0].record;
    assert_eq!(record.request, "GET /%41?b HTTP/1.1");
    assert_eq!(record.status, Some(200));
    let wanted = [("host", "a"), ("referer", "http://r/"), ("user_agent", "me")];
    assert_eq!(record.fields, wanted.map(|(name, value)| (name, value.to_owned())));
    assert!(outcome.output()[..record.head_bytes].ends_with(b"\r\n\r\n"));
}

#[test]
fn a_target_in_utf_8_is_served_as_if_it_were_encoded_and_other_bytes_are_refused() {
    let service = |request: Request<()>, _: &mut dyn Read| {
        ok(Content::Bytes(request.uri().to_string().into_bytes().into()))
    };
    let ask = |target: &[u8]| {
        let input = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        whole_input(&mut Http::new(service), &input).output()
    };
    for (target, served) in [
        ("/é.txt", "/%C3%A9.txt"),
        ("/%41/日本?q=ü", "/%41/%E6%97%A5%E6%9C%AC?q=%C3%BC"),
        ("/\u{85}\u{2028}", "/%C2%85%E2%80%A8"),
    ] {
        let output = ask(target.as_bytes());
        assert!(output.starts_with(b"HTTP/1.1 200 OK"), "{}", output.escape_ascii());
        assert!(output.ends_with(format!("\r\n\r\n{served}").as_bytes()), "{target}");
    }
    for target in [&b"/\xe9.txt"[..], b"/\xc3", b"http://\xc3\xa9/", b"/\xed\xa0\x80"] {
        let output = ask(target);
        assert!(output.starts_with(b"HTTP/1.1 400 "), "{}", output.escape_ascii());
    }
}

#[test]
fn a_refused_request_is_logged_as_far_as_it_was_a_line() {
    let mut http = support::mirror();
    let mut record = overlapped_wire::AccessRecord::default();
    let input = b"GET /x HTTP/1.1\nHost: a\n\n";
    let malformed = http.decode(input).unwrap_err();
    let mut exchange = Exchange {
        now: support::now(),
        last: false,
        body: &mut io::empty(),
        reply: &mut Reply::default(),
        record: Some(&mut record),
    };
    http.refuse(&malformed, input, &mut exchange);
    assert_eq!((record.request.as_str(), record.status), ("GET /x HTTP/1.1", Some(400)));
}

/// Tries every byte in a name and in a value, and pairs of the bytes that end lines.
#[test]
fn h11_no_field_of_a_service_makes_two_answers_of_one() {
    let mut checks = 0;
    let pieces = (0..=255_u8).map(|byte| vec![byte]);
    let pairs = ["\r\n", "\n\n", "\r\n\r\n", "\n ", "\r\n X: y", "\u{a}\u{d}"];
    for piece in pieces.chain(pairs.map(|pair| pair.as_bytes().to_vec())) {
        let text = [b"a", &piece[..], b"HTTP/1.1 200 OK"].concat();
        let value = HeaderValue::from_bytes(&text);
        let name = HeaderName::from_bytes(&text);
        checks += 2;
        let is_control = piece.iter().any(|byte| (*byte < b' ' && *byte != b'\t') || *byte == 127);
        assert_eq!(value.is_err(), is_control, "{text:?}");
        assert!(name.is_err(), "a name with a space");
        let Ok(value) = value else { continue };
        let service = |_: Request<()>, _: &mut dyn Read| {
            let mut answer = ok(Content::Bytes(b"hello".into()));
            answer.headers_mut().insert(header::LOCATION, value.clone());
            answer
        };
        let outcome = whole_input(&mut Http::new(service), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let output = outcome.output();
        let mut fields = [httparse::EMPTY_HEADER; 4];
        let mut response = httparse::Response::new(&mut fields);
        let head = response.parse(&output).unwrap().unwrap();
        assert_eq!(response.headers.len(), 3, "{}", output.escape_ascii());
        assert_eq!(&output[head..], b"hello");
        checks += 1;
    }
    println!("RELIABILITY H11 {checks} fields with every byte, none made a second answer");
}
