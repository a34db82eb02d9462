//! The lame-duck time: the server reports that it is not ready, and still serves.

mod site;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use overlapped_serve::{Connection, Peer, Server};
use overlapped_wire::http::{Answer, Http, text};
use overlapped_wire::line::Line;

use site::{Site, ask, connect, wait_until};

const LONG: Duration = Duration::from_secs(600);

/// Answers; `/slow` takes longer than any test.
fn answer(request: http::Request<()>, _: &mut dyn Read) -> Answer {
    if request.uri().path() == "/slow" {
        overlapped::time::sleep(LONG);
    }
    text(http::StatusCode::OK, "hello")
}

/// Starts an HTTP server with a monitoring listener.
fn http(lame_duck: Duration) -> (Site, (SocketAddr, SocketAddr)) {
    Site::run(move || {
        let mut server = Server::new().threads(2).grace(LONG).lame_duck(lame_duck);
        let address = server.listen("127.0.0.1:0", |_: &Peer| Http::new(answer)).unwrap();
        let watch = server.observe("127.0.0.1:0").unwrap();
        (server, (address.tcp().unwrap(), watch.tcp().unwrap()))
    })
}

/// Sends one request on a connection that may stay; returns the answer.
fn request(stream: &mut TcpStream, path: &str) -> std::io::Result<String> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")?;
    let mut answer = String::new();
    while answer.lines().last().is_none_or(|line| !["hello", "ready", "stopping"].contains(&line)) {
        let mut bytes = [0; 4096];
        match stream.read(&mut bytes)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer += &String::from_utf8_lossy(&bytes[..read]),
        }
    }
    Ok(answer)
}

fn says_close(answer: &str) -> bool {
    answer.to_lowercase().contains("\r\nconnection: close\r\n")
}

fn is_ready(watch: SocketAddr) -> bool {
    let answer = request(&mut connect(watch), "/readyz").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 503 "), "{answer}");
    answer.starts_with("HTTP/1.1 200 ")
}

#[test]
fn a_lame_duck_is_not_ready_and_serves_all_clients() {
    let (site, (address, watch)) = http(LONG);
    let (mut kept, mut watcher) = (connect(address), connect(watch));
    assert!(!says_close(&request(&mut kept, "/").unwrap()));
    assert!(!says_close(&request(&mut watcher, "/readyz").unwrap()));
    assert!(is_ready(watch));
    site.handle.stop();
    wait_until("it is not ready", || !is_ready(watch));
    for _ in 0..20 {
        let answer = request(&mut connect(address), "/").unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
    }
    // Connected clients are told to connect anew, and can.
    for (stream, path) in [(&mut kept, "/"), (&mut watcher, "/readyz")] {
        assert!(says_close(&request(stream, path).unwrap()));
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    let totals = site.stop();
    assert_eq!((totals.requests, totals.accepted, totals.cut), (22, 21, 0));
}

#[test]
fn each_further_stop_ends_a_stage() {
    let (mut site, (address, watch)) = http(LONG);
    let mut slow = connect(address);
    write!(slow, "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    site.handle.stop();
    wait_until("it leaves", || !is_ready(watch));
    assert!(request(&mut connect(address), "/").is_ok(), "it still serves");
    site.handle.stop();
    wait_until("no client is accepted", || TcpStream::connect(address).is_err());
    assert!(!is_ready(watch), "it still drains");
    site.handle.stop();
    assert_eq!(site.wait().cut, 1);
}

#[test]
fn the_lame_duck_time_ends_by_itself() {
    let (site, (address, _)) = http(Duration::from_millis(700));
    let begin = Instant::now();
    site.handle.stop();
    wait_until("no client is accepted", || TcpStream::connect(address).is_err());
    assert!(begin.elapsed() >= Duration::from_millis(700));
    drop(site);
}

#[test]
fn protocols_without_a_last_reply_are_served_until_the_stop() {
    let (site, (lines, plain, watch)) = Site::run(|| {
        let mut server = Server::new().lame_duck(LONG);
        let lines = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        let copy = |mut connection: Connection| {
            let mut byte = [0];
            while connection.read_exact(&mut byte).is_ok() {
                connection.write_all(&byte).unwrap();
            }
        };
        let plain = server.listen_with("127.0.0.1:0", copy).unwrap();
        let watch = server.observe("127.0.0.1:0").unwrap();
        (server, (lines.tcp().unwrap(), plain.tcp().unwrap(), watch.tcp().unwrap()))
    });
    let (mut lines, mut plain) = (connect(lines), connect(plain));
    for round in 0..4 {
        if round == 2 {
            site.handle.stop();
            wait_until("it leaves", || !is_ready(watch));
        }
        ask(&mut lines, b"hello\n", b"hello\n");
        ask(&mut plain, b"x", b"x");
    }
    let stopper = std::thread::spawn(move || site.stop());
    for stream in [&mut lines, &mut plain] {
        assert_eq!(stream.read(&mut [0; 1]).unwrap(), 0);
    }
    drop((lines, plain));
    assert_eq!(stopper.join().unwrap().cut, 0);
}
