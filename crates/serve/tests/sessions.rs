//! Sessions: bytes, requests and replies.

mod site;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped_serve::{Connection, Limits, Listen, Peer, Server};
use overlapped_wire::http::{Answer, Content, Http, text};
use overlapped_wire::length::Length;
use overlapped_wire::line::Line;
use overlapped_wire::{Decoded, Exchange, Malformed, Next, Part, Protocol, Reply};

use site::{Site, ask, connect, take};

fn line() -> (Site, SocketAddr) {
    Site::run(|| {
        let mut server = Server::new();
        let address = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    })
}

/// A protocol that answers each line with the part that it names.
struct Parts {
    file: Arc<std::fs::File>,
}

impl Protocol for Parts {
    type Request<'a> = &'a [u8];

    fn decode<'a>(&mut self, input: &'a [u8]) -> Result<Decoded<&'a [u8]>, Malformed> {
        Ok(match input.iter().position(|&byte| byte == b'\n') {
            Some(at) => Decoded::Whole { request: &input[..at], taken: at + 1 },
            None => Decoded::More,
        })
    }

    fn respond(&mut self, request: &[u8], exchange: &mut Exchange<'_>) -> Next {
        let reply = &mut *exchange.reply;
        reply.extend(b"<");
        match request {
            b"small" => reply.file(Arc::clone(&self.file), 3, 1000),
            b"large" => reply.file(Arc::clone(&self.file), 5, 3_000_000),
            b"beyond" => reply.file(Arc::clone(&self.file), 0, 1 << 40),
            b"reader" => reply.reader(std::io::repeat(b'r').take(100_000), 100_000),
            b"unknown" => reply.reader(&b"who knows how long"[..], None),
            b"short" => reply.reader(&b"short"[..], 1000),
            b"endless" => reply.endless(std::io::repeat(b'e')),
            b"panic" => panic!("a test's panic"),
            _ => reply.part(Part::Reader { reader: Box::new(std::io::empty()), len: None }),
        }
        reply.extend(b">");
        Next::Keep
    }

    fn finish(&mut self, rest: &[u8], reply: &mut Reply) {
        reply.extend(b"left:");
        reply.extend(rest);
    }
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 7 + at / 256) as u8).collect()
}

fn parts() -> (Site, SocketAddr) {
    Site::run(|| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&pattern(4_000_000)).unwrap();
        let file = Arc::new(file);
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0");
        let address = server.listen(listen, move |_: &Peer| Parts { file: file.clone() }).unwrap();
        (server, address.tcp().unwrap())
    })
}

#[test]
fn a_request_in_pieces_and_several_in_one_are_answered_the_same() {
    let (site, address) = line();
    let mut stream = connect(address);
    for byte in b"hello\n" {
        stream.write_all(&[*byte]).unwrap();
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(take(&mut stream, 6), b"hello\n");
    ask(&mut stream, b"one\ntwo\nthree\nfo", b"one\ntwo\nthree\n");
    ask(&mut stream, b"ur\n", b"four\n");
    drop(stream);
    let totals = site.stop();
    assert_eq!((totals.requests, totals.accepted, totals.errors), (5, 1, 0));
    assert_eq!((totals.bytes_in, totals.bytes_out), (25, 25));
}

#[test]
fn replies_larger_than_all_buffers_are_complete() {
    let (_site, address) = Site::run(|| {
        let mut server = Server::new();
        let length = |_: &Peer| Length::default();
        let address = server.listen("127.0.0.1:0", length).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = connect(address);
    let body = pattern(1_000_000);
    let mut writer = stream.try_clone().unwrap();
    let sent = body.clone();
    // The client reads only when all buffers are full.
    let writer = testkit::spawn_blocked(move || {
        for _ in 0..20 {
            writeln!(writer, "{}", sent.len()).unwrap();
            writer.write_all(&sent).unwrap();
        }
        writer.shutdown(Shutdown::Write).unwrap();
    });
    for round in 0..20 {
        assert!(take(&mut stream, body.len()) == body, "round {round}");
    }
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    writer.join().unwrap();
}

#[test]
fn parts_of_every_kind_are_sent_in_order() {
    let (_site, address) = parts();
    let mut stream = connect(address);
    let file = pattern(4_000_000);
    stream.write_all(b"small\nlarge\nreader\nunknown\nempty\nsmall\n").unwrap();
    let mut expected = Vec::new();
    for part in [
        &file[3..1003],
        &file[5..3_000_005],
        &[b'r'; 100_000],
        b"who knows how long",
        b"",
        &file[3..1003],
    ] {
        expected.extend_from_slice(b"<");
        expected.extend_from_slice(part);
        expected.extend_from_slice(b">");
    }
    assert!(take(&mut stream, expected.len()) == expected);
}

#[test]
fn a_reply_that_cannot_be_finished_ends_in_a_reset() {
    let (site, address) = parts();
    for question in ["short\n", "beyond\n"] {
        let mut stream = connect(address);
        stream.write_all(question.as_bytes()).unwrap();
        let error = stream.read_to_end(&mut Vec::new()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{question}");
    }
    assert_eq!(site.stop().errors, 2);
}

#[test]
fn a_client_that_leaves_ends_only_its_own_session() {
    let (site, address) = parts();
    let mut stays = connect(address);
    for question in ["endless\n", "large\nlarge\nlarge\nlarge\n", "sm"] {
        let mut goes = connect(address);
        goes.write_all(question.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(20));
        drop(goes);
    }
    ask(&mut stays, b"unknown\n", b"<who knows how long>");
    drop(stays);
    let totals = site.stop();
    assert_eq!((totals.accepted, totals.cut, totals.panicked), (4, 0, 0));
}

#[test]
fn a_panic_ends_one_session_and_is_counted() {
    let (site, address) = parts();
    let (mut ours, mut neighbour) = (connect(address), connect(address));
    ours.write_all(b"panic\n").unwrap();
    let _ended = ours.read(&mut [0; 10]);
    ask(&mut neighbour, b"unknown\n", b"<who knows how long>");
    drop(neighbour);
    assert_eq!(site.stop().panicked, 1);
}

#[test]
fn a_client_that_finishes_within_a_request_gets_a_last_reply() {
    let (_site, address) = parts();
    let mut stream = connect(address);
    stream.write_all(b"unknown\nunfin").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "<who knows how long>left:unfin");
}

/// The answer to a malformed request arrives, although unread bytes are under way.
#[test]
fn unread_bytes_do_not_destroy_the_last_reply() {
    let (_site, address) = Site::run(|| {
        let mut server = Server::new();
        let address = server.listen("127.0.0.1:0", |_: &Peer| Length::new(10)).unwrap();
        (server, address.tcp().unwrap())
    });
    for _ in 0..20 {
        let mut stream = connect(address);
        stream.write_all(&[&b"11\n"[..], &[b'x'; 60_000]].concat()).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert_eq!(answer, "Error: the length exceeds the limit.\n");
        // Linux keeps bytes received before a reset, other systems do not: there must be no reset.
        std::thread::sleep(Duration::from_millis(2));
        assert!(stream.take_error().unwrap().is_none());
    }
}

/// A client that goes on sending is read for a while, without a reset.
#[test]
fn a_client_that_sends_after_the_last_reply_is_read_for_a_while() {
    let limits = Limits { linger: Duration::from_secs(60), ..Limits::default() };
    let (_site, address) = http(limits);
    let mut stream = connect(address);
    stream.write_all(b"nonsense\r\n\r\n").unwrap();
    // The answer has arrived: the server has closed its sending side.
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    for _ in 0..10 {
        stream.write_all(&[b'x'; 1000]).unwrap();
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    // The server does not read for ever.
    let mut sent = 0;
    while stream.write_all(&[b'x'; 100_000]).is_ok() {
        sent += 100_000;
        assert!(sent < 300 << 20, "{sent} bytes are read from a client that was sent away");
    }
}

/// A handler that counts the bytes of a body; the path selects what it does with them.
fn web(request: http::Request<()>, body: &mut dyn Read) -> Answer {
    let say = |what: String| text(http::StatusCode::OK, what);
    match request.uri().path() {
        "/count" => match std::io::copy(body, &mut std::io::sink()) {
            Ok(count) => say(format!("{count}")),
            Err(error) => text(http::StatusCode::INTERNAL_SERVER_ERROR, format!("{error}")),
        },
        "/ignore" => say("ignored".to_owned()),
        _ => Answer::new(Content::EMPTY),
    }
}

fn http(limits: Limits) -> (Site, SocketAddr) {
    Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, |_: &Peer| Http::new(web)).unwrap();
        (server, address.tcp().unwrap())
    })
}

/// Reads one answer with a length; returns its head and its body.
fn answer(stream: &mut impl Read) -> (String, String) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend(take(stream, 1));
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body = take(stream, length.unwrap_or(0));
    (head, String::from_utf8(body).unwrap())
}

#[test]
fn bodies_are_read_whatever_is_pipelined_behind_them() {
    let (_site, address) = http(Limits::default());
    let mut stream = connect(address);
    let post = "POST /count HTTP/1.1\r\nHost: a\r\n";
    let mut all = format!("{post}Content-Length: 5\r\n\r\nhello");
    all += &format!("{post}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    all += "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n";
    all += &format!("{post}Content-Length: 100000\r\n\r\n{}", "x".repeat(100_000));
    all += &format!(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 30000\r\n\r\n{}",
        "y".repeat(30_000)
    );
    all += "GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n";
    for (at, piece) in all.as_bytes().chunks(777).enumerate() {
        stream.write_all(piece).unwrap();
        if at % 40 == 0 {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    let bodies: Vec<String> = (0..6).map(|_| answer(&mut stream).1).collect();
    assert_eq!(bodies, ["5", "7", "", "100000", "ignored", "ignored"]);
}

#[test]
fn a_client_gets_100_continue_only_when_its_body_is_read() {
    let (_site, address) = http(Limits::default());
    let head = |path: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
        )
    };
    let mut stream = connect(address);
    stream.write_all(b"GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream.write_all(head("/count").as_bytes()).unwrap();
    assert_eq!(answer(&mut stream).1, "ignored");
    assert_eq!(take(&mut stream, 25), b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"hello").unwrap();
    assert_eq!(answer(&mut stream).1, "5");

    stream.write_all(head("/ignore").as_bytes()).unwrap();
    let (head, body) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("lose"), "{head}");
    assert_eq!(body, "ignored");
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0, "the next byte is unknown");
}

#[test]
fn a_malformed_body_is_refused_instead_of_answered() {
    let (site, address) = http(Limits::default());
    let mut stream = connect(address);
    let head = "POST /count HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    write!(stream, "{head}3\r\nabcd\r\n").unwrap();
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("HTTP/1.1 400"), "{head}");
    assert_eq!(site.stop().malformed, 1);
}

#[test]
fn a_slow_body_ends_in_408_and_a_slow_head_too() {
    let second = Duration::from_secs(1);
    let limits = Limits { head: second, allowance: second, rate: 1000, ..Limits::default() };
    let (site, address) = http(limits);
    for begin in ["GET / HT", "POST /count HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\nabc"]
    {
        let mut stream = connect(address);
        let begun = Instant::now();
        stream.write_all(begin.as_bytes()).unwrap();
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("HTTP/1.1 408"), "{head}");
        assert!(begun.elapsed() >= second, "{:?}", begun.elapsed());
    }
    assert_eq!(site.stop().timed_out, 2);
}

#[test]
fn an_idle_connection_is_closed_without_a_reply() {
    let limits = Limits { idle: Duration::from_millis(300), ..Limits::default() };
    let (site, address) = http(limits);
    let mut stream = connect(address);
    stream.write_all(b"GET /ignore HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    answer(&mut stream);
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(site.stop().idle, 1);
}

#[test]
fn a_long_idle_connection_answers_as_before() {
    let (_site, address) = line();
    let mut stream = connect(address);
    ask(&mut stream, b"before\n", b"before\n");
    std::thread::sleep(Duration::from_millis(1300));
    let long = [&[b'x'; 5000][..], b"\n"].concat();
    ask(&mut stream, &long, &long);
    ask(&mut stream, b"after\n", b"after\n");
}

#[test]
fn a_plain_function_reads_and_writes_over_either_family() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let on = format!("unix:{}", path.display());
    let ((site, tcp), folder) = (
        Site::run(move || {
            let shout = |mut connection: Connection| {
                let mut name = [0; 5];
                connection.read_exact(&mut name).unwrap();
                let who = connection.peer().to_string();
                write!(connection, "{} from {who}", String::from_utf8_lossy(&name).to_uppercase())
                    .unwrap();
            };
            let mut server = Server::new();
            let tcp = server.listen_with("127.0.0.1:0", shout).unwrap();
            server.listen_with(on, shout).unwrap();
            (server, tcp.tcp().unwrap())
        }),
        folder,
    );
    let mut stream = connect(tcp);
    stream.write_all(b"hello").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("HELLO from {}", stream.local_addr().unwrap()));

    let mut stream = UnixStream::connect(&path).unwrap();
    stream.write_all(b"local").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "LOCAL from local");
    site.stop();
    assert!(!path.exists(), "a server takes its socket's name away");
    drop(folder);
}
