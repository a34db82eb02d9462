//! Requests that other parsers may understand differently are refused, and nothing after them is
//! served (danger H1). The cases are in `smuggling/cases.txt`.

mod support;

use std::cell::Cell;
use std::io::Read;
use std::rc::Rc;

use overlapped_wire::Protocol;
use overlapped_wire::http::{Answer, Http, Limits, text};
use support::{End, Outcome, status};

/// Follows each case; a server that answers it was tricked.
const MARKER: &[u8] = b"GET /marker HTTP/1.1\r\nHost: marker\r\n\r\n";

struct Case {
    name: &'static str,
    status: u16,
    bytes: Vec<u8>,
}

fn cases() -> Vec<Case> {
    let lines = include_str!("smuggling/cases.txt").lines();
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(case).collect()
}

fn case(line: &'static str) -> Case {
    let mut parts = line.splitn(3, " | ");
    let mut part = || parts.next().unwrap_or_else(|| panic!("three parts in `{line}`"));
    let (name, status, bytes) = (part(), part(), part());
    Case { name, status: status.parse().unwrap(), bytes: unescaped(bytes) }
}

fn unescaped(text: &str) -> Vec<u8> {
    let text = text.replace("{h}", "Host: a\\r\\n");
    let (mut bytes, mut rest) = (Vec::new(), text.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next().unwrap() {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'\\' => b'\\',
            b'x' => {
                let digits = [rest.next().unwrap(), rest.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => panic!("the escape \\{}", other as char),
        });
    }
    bytes
}

/// Makes an HTTP protocol whose service records whether the marker reached it.
fn recording(reads: bool, marked: &Rc<Cell<bool>>) -> impl Protocol + use<> {
    let marked = marked.clone();
    let service = move |request: http::Request<()>, body: &mut dyn Read| -> Answer {
        let is_marker = request.uri().path() == "/marker"
            || request.headers().get("host").is_some_and(|host| host == "marker");
        marked.set(marked.get() || is_marker);
        if reads {
            let _ = std::io::copy(body, &mut std::io::sink());
        }
        text(http::StatusCode::OK, "served\n")
    };
    Http::with_limits(service, Limits::default())
}

/// Sends the case and the marker, as a whole, in two parts and byte by byte, to a service that
/// reads bodies or does not.
fn send(case: &[u8], reads: bool) -> Vec<(Outcome, bool)> {
    let whole = [case, MARKER].concat();
    let variants = [vec![], vec![case.len()], (1..=whole.len()).collect()];
    let send = |cuts: Vec<usize>| {
        let marked = Rc::new(Cell::new(false));
        let outcome = support::drive(&mut recording(reads, &marked), &whole, &mut cuts.into_iter());
        (outcome, marked.get())
    };
    variants.map(send).into()
}

#[test]
fn h1_what_two_parsers_may_understand_differently_is_refused() {
    let mut names = std::collections::BTreeSet::new();
    let mut checks = 0;
    for Case { name, status: wanted, bytes } in cases() {
        assert!(names.insert(name), "two cases are called {name}");
        for (outcome, marked) in send(&bytes, true) {
            assert!(!marked, "{name}: the marker was served");
            assert!(outcome.served.is_empty(), "{name} was served");
            let End::Malformed { reason, reply, .. } = outcome.end else {
                panic!("{name} ended with {:?}", outcome.end);
            };
            assert_eq!(status(&reply), wanted, "{name}: {reason}");
            let reply = String::from_utf8(reply).unwrap();
            assert!(reply.contains("\r\nConnection: close\r\n"), "{name}: {reply}");
            assert!(reply.contains("\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"), "{name}");
            checks += 1;
        }
        // A service that does not read the body does not see that it is broken; what follows is
        // lost.
        for (outcome, marked) in send(&bytes, false) {
            assert!(!marked, "{name}: the marker was served although the body was not read");
            assert!(
                outcome.served.len() <= 1
                    && matches!(outcome.end, End::Malformed { .. } | End::Closed)
            );
            checks += 1;
        }
    }
    assert!(names.len() >= 120, "{} cases", names.len());
    println!(
        "RELIABILITY H1 {checks} checks of {} cases, each refused, 0 markers served",
        names.len()
    );
}

/// The converse of every rule: a well-formed request is served, and so is what follows it.
#[test]
fn a_well_formed_request_is_served_and_so_is_the_marker() {
    let heads = [
        "GET / HTTP/1.1\\r\\n{h}\\r\\n",
        "\\r\\nGET / HTTP/1.1\\r\\n{h}\\r\\n",
        "get / HTTP/1.1\\r\\n{h}\\r\\n",
        "GET http://b/x HTTP/1.1\\r\\n{h}\\r\\n",
        "OPTIONS * HTTP/1.1\\r\\n{h}\\r\\n",
        "GET /?a=%zz HTTP/1.1\\r\\n{h}\\r\\n",
        "GET /\\xc3\\xa4?\\xc3\\xa4 HTTP/1.1\\r\\n{h}\\r\\n",
        "GET / HTTP/1.1\\r\\nHost:\\r\\n\\r\\n",
        "GET / HTTP/1.1\\r\\nhost: [::1]:8080\\r\\n\\r\\n",
        "GET / HTTP/1.1\\r\\nHost:a_b.example:\\r\\n\\r\\n",
        "GET / HTTP/1.1\\r\\n{h}X: \\x80\\xff\\t \\r\\n\\r\\n",
        "GET / HTTP/1.0\\r\\nConnection: keep-alive\\r\\n\\r\\n",
        "POST / HTTP/1.1\\r\\n{h}Content-Length: 5\\r\\n\\r\\nGET /",
        "POST / HTTP/1.1\\r\\n{h}Content-Length: \\t 5 \\r\\n\\r\\nhello",
        "POST / HTTP/1.1\\r\\n{h}Content-Length: 0\\r\\n\\r\\n",
        "GET / HTTP/1.1\\r\\n{h}Content-Length: 5\\r\\n\\r\\nhello",
        "POST / HTTP/1.1\\r\\n{h}Transfer-Encoding: Chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
        "POST / HTTP/1.1\\r\\n{h}Transfer-Encoding: chunked\\r\\n\\r\\n\
         5;a=\"b c\"\\r\\nhello\\r\\n000\\r\\nX: y\\r\\nZ:\\r\\n\\r\\n",
        "POST / HTTP/1.1\\r\\n{h}Expect: 100-Continue\\r\\nContent-Length: 5\\r\\n\\r\\nhello",
        "POST / HTTP/1.0\\r\\nConnection: keep-alive\\r\\nExpect: x\\r\\n\
         Content-Length: 5\\r\\n\\r\\nhello",
    ];
    for text in heads {
        for (outcome, marked) in send(&unescaped(text), true) {
            assert_eq!(outcome.served.len(), 2, "{text}: {:?}", outcome.end);
            assert!(marked, "{text}: the marker was not served");
        }
    }
}
