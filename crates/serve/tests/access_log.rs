//! The access log has one line for each request, however it ended.

mod site;

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use overlapped_serve::{AccessLog, Limits, Listen, LogFormat, Peer, Server};
use overlapped_wire::http::{Answer, Content, Http, text};

use site::{Site, connect, take, wait_until};

/// Bytes that exceed the buffers of a socket.
const LARGE: u64 = 64 << 20;

/// The requests of `/slow` that have begun.
static SLOW: AtomicUsize = AtomicUsize::new(0);

fn answer(request: http::Request<()>, body: &mut dyn Read) -> Answer {
    match request.uri().path() {
        "/large" => {
            let reader = Box::new(std::io::repeat(b'x'));
            Answer::new(Content::Reader { reader, len: Some(LARGE) })
        }
        "/chunks" => {
            let reader = Box::new(std::io::repeat(b'x').take(10));
            Answer::new(Content::Reader { reader, len: None })
        }
        "/broken" => {
            let reader = Box::new(std::io::repeat(b'x').take(1000));
            Answer::new(Content::Reader { reader, len: Some(2000) })
        }
        "/slow" => {
            SLOW.fetch_add(1, Relaxed);
            overlapped::time::sleep(Duration::from_secs(600));
            text(http::StatusCode::OK, "late\n")
        }
        "/panic" => panic!("as the test wants it"),
        "/body" => {
            let _ = std::io::copy(body, &mut std::io::sink());
            text(http::StatusCode::OK, "12345\n")
        }
        _ => text(http::StatusCode::OK, "hello\n"),
    }
}

/// Runs a server while `clients` runs; returns the lines of its log.
fn lines_of(limits: Limits, format: LogFormat, clients: impl FnOnce(SocketAddr)) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let theirs = path.clone();
    let (site, address) = Site::run(move || {
        let grace = Duration::from_millis(300);
        let log = AccessLog::File(theirs);
        let mut server = Server::new().grace(grace).access_log(log).log_format(format);
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, |_: &Peer| Http::new(answer)).unwrap();
        (server, address.tcp().unwrap())
    });
    clients(address);
    site.stop();
    std::fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
}

/// Returns request, status and bytes of a line.
fn parts(line: &str) -> (&str, &str, u64) {
    let mut quoted = line.split('"');
    let (request, numbers) = (quoted.nth(1).unwrap(), quoted.next().unwrap().trim());
    let (status, bytes) = numbers.split_once(' ').unwrap();
    (request, status, bytes.parse().unwrap())
}

fn get(address: SocketAddr, path: &str) -> std::net::TcpStream {
    let mut stream = connect(address);
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    stream
}

/// Returns the only line.
fn line_of(limits: Limits, clients: impl FnOnce(SocketAddr)) -> String {
    let lines = lines_of(limits, LogFormat::Combined, clients);
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.into_iter().next().unwrap()
}

#[test]
fn an_aborted_download_has_a_line_with_the_bytes_sent() {
    let line = line_of(Limits::default(), |address| {
        let mut stream = get(address, "/large");
        take(&mut stream, 300_000);
    });
    let (request, status, bytes) = parts(&line);
    assert_eq!((request, status), ("GET /large HTTP/1.1", "200"));
    assert!((200_000..LARGE).contains(&bytes), "{line}");
}

#[test]
fn a_reply_to_a_slow_reader_has_a_line() {
    let limits =
        Limits { rate: 1 << 20, allowance: Duration::from_millis(200), ..Limits::default() };
    let line = line_of(limits, |address| {
        let stream = get(address, "/large");
        wait_until("it is cut", || stream.take_error().unwrap().is_some());
    });
    let (request, status, bytes) = parts(&line);
    assert_eq!((request, status), ("GET /large HTTP/1.1", "200"));
    assert!((1..LARGE).contains(&bytes), "{line}");
}

#[test]
fn requests_that_the_drain_ends_have_a_line_whether_or_not_the_answer_had_begun() {
    let mut clients = Vec::new();
    let lines = lines_of(Limits::default(), LogFormat::Combined, |address| {
        let mut large = get(address, "/large");
        take(&mut large, 1000);
        clients.push(large);
        let before = SLOW.load(Relaxed);
        clients.push(get(address, "/slow"));
        wait_until("the slow request is in progress", || SLOW.load(Relaxed) > before);
    });
    let mut parts: Vec<_> = lines.iter().map(|line| parts(line)).collect();
    parts.sort();
    let [large, slow] = parts[..] else { panic!("{lines:?}") };
    assert_eq!((large.0, large.1), ("GET /large HTTP/1.1", "200"));
    assert!((1..LARGE).contains(&large.2), "{large:?}");
    assert_eq!(slow, ("GET /slow HTTP/1.1", "-", 0));
}

#[test]
fn panics_and_broken_replies_have_a_line() {
    for (path, status, bytes) in [("/panic", "-", 0..=0), ("/broken", "200", 0..=1000)] {
        let line = line_of(Limits::default(), |address| {
            let _ = get(address, path).read_to_end(&mut Vec::new());
        });
        let (request, got, sent) = parts(&line);
        assert_eq!((request, got), (&*format!("GET {path} HTTP/1.1"), status));
        assert!(bytes.contains(&sent), "{line}");
    }
}

#[test]
fn an_incomplete_request_has_a_line() {
    let line = line_of(Limits::default(), |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /half HTTP/1.1\r\nHost:").unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0);
    });
    assert_eq!(parts(&line), ("GET /half HTTP/1.1", "-", 0));
    let line = line_of(Limits::default(), |address| {
        let mut stream = connect(address);
        stream
            .write_all(b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
            .unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!(parts(&line).0, "POST /body HTTP/1.1");
    let limits = Limits { head: Duration::from_millis(200), ..Limits::default() };
    let line = line_of(limits, |address| {
        let mut stream = connect(address);
        stream.write_all(b"GET /late HTTP/1.1\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    assert_eq!((parts(&line).0, parts(&line).1), ("GET /late HTTP/1.1", "408"));
}

#[test]
fn the_bytes_of_a_line_are_those_of_the_body() {
    let lines = lines_of(Limits::default(), LogFormat::Combined, |address| {
        let mut stream = connect(address);
        let requests = ["GET /", "HEAD /", "GET /chunks", "POST /body"].map(|request| {
            let body = if request.starts_with("POST") {
                "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n12345"
            } else {
                "\r\n"
            };
            format!("{request} HTTP/1.1\r\nHost: a\r\n{body}")
        });
        // Both in one write, so that the answers share a packet.
        stream.write_all(requests.concat().as_bytes()).unwrap();
        stream.write_all(b"GET /malformed\r\n\r\n").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let parts: Vec<_> = lines.iter().map(|line| parts(line)).collect();
    let [get, head, chunks, post, malformed] = parts[..] else { panic!("{lines:?}") };
    assert_eq!(get, ("GET / HTTP/1.1", "200", 6));
    assert_eq!(head, ("HEAD / HTTP/1.1", "200", 0));
    // The bytes include the framing of a chunk of 10 bytes and of the last one.
    assert_eq!((chunks.0, chunks.1), ("GET /chunks HTTP/1.1", "200"));
    assert!((10..30).contains(&chunks.2), "{chunks:?}");
    assert_eq!(post, ("POST /body HTTP/1.1", "200", 6));
    assert_eq!((malformed.0, malformed.1), ("GET /malformed", "400"));
    assert!((1..100).contains(&malformed.2), "{malformed:?}");
}

#[test]
fn json_lines_have_the_host() {
    let lines = lines_of(Limits::default(), LogFormat::Json, |address| {
        let mut stream = connect(address);
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\n\r\n")
            .unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.starts_with("{\"time\":\"20") && line.ends_with('}'), "{line}");
    let wanted = "\"host\":\"www.example.org\",\"request\":\"GET / HTTP/1.1\",\"status\":200";
    assert!(line.contains(wanted) && line.contains("\"bytes\":6"), "{line}");
}
