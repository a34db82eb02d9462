//! Stops.

mod site;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped_serve::{Connection, Limits, Listen, Peer, Server};
use overlapped_wire::http::{Answer, Http, text};
use overlapped_wire::line::Line;

use site::{Site, ask, connect, report, rounds, take};

/// Answers after the time that its path says, in ms.
fn slowly(request: http::Request<()>, _: &mut dyn Read) -> Answer {
    let time = request.uri().path()[1..].parse().unwrap_or(0);
    overlapped::time::sleep(Duration::from_millis(time));
    text(http::StatusCode::OK, "x".repeat(10_000))
}

fn http(grace: Duration, threads: usize) -> (Site, SocketAddr) {
    Site::run(move || {
        let mut server = Server::new().grace(grace).threads(threads);
        let listen = Listen::on("127.0.0.1:0")
            .limits(Limits { per_address: usize::MAX, ..Limits::default() });
        let address = server.listen(listen, |_: &Peer| Http::new(slowly)).unwrap();
        (server, address.tcp().unwrap())
    })
}

fn get(stream: &mut impl Write, time: u32) -> std::io::Result<()> {
    write!(stream, "GET /{time} HTTP/1.1\r\nHost: a\r\n\r\n")
}

/// Reads until the end; says whether what came are whole answers, and whether the last one says
/// that it is.
fn whole(bytes: &[u8]) -> (bool, bool) {
    let mut rest = bytes;
    let mut is_last = false;
    while !rest.is_empty() {
        let Some(end) = rest.windows(4).position(|four| four == b"\r\n\r\n") else {
            return (false, is_last);
        };
        is_last =
            String::from_utf8_lossy(&rest[..end]).to_lowercase().contains("connection: close");
        match rest.get(end + 4 + 10_000..) {
            Some(behind) => rest = behind,
            None => return (false, is_last),
        }
    }
    (true, is_last)
}

#[test]
fn requests_in_work_and_on_their_way_are_answered_and_the_idle_are_closed() {
    let (site, address) = http(Duration::from_secs(30), 1);
    let (mut busy, mut idle, mut active) = (connect(address), connect(address), connect(address));
    get(&mut idle, 0).unwrap();
    get(&mut active, 0).unwrap();
    get(&mut busy, 500).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    let stopper = std::thread::spawn(move || site.stop());
    std::thread::sleep(Duration::from_millis(100));
    get(&mut active, 0).unwrap();
    let mut bytes = Vec::new();
    for (stream, says) in [(&mut idle, false), (&mut active, true), (&mut busy, false)] {
        bytes.clear();
        stream.read_to_end(&mut bytes).unwrap();
        assert_eq!(whole(&bytes), (true, says), "whole, and whether it said that it was the last");
    }
    drop((idle, active, busy));
    let totals = stopper.join().unwrap();
    assert_eq!((totals.cut, totals.open_at_stop), (0, 3));
    assert!(begin.elapsed() < Duration::from_secs(25), "it does not wait for the grace time");
    assert!(std::net::TcpStream::connect(address).is_err(), "nobody listens any more");
}

#[test]
fn what_takes_longer_than_the_grace_time_is_cut() {
    let (site, address) = http(Duration::from_millis(200), 1);
    let mut busy = connect(address);
    get(&mut busy, 600_000).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let begin = Instant::now();
    assert_eq!(site.stop().cut, 1);
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert!(matches!(busy.read(&mut [0; 10]), Ok(0) | Err(_)));
}

#[test]
fn a_second_stop_cuts_at_once() {
    let (mut site, address) = http(Duration::from_secs(600), 1);
    let mut busy = connect(address);
    get(&mut busy, 600_000).unwrap();
    std::thread::sleep(Duration::from_millis(100));
    site.handle.stop();
    std::thread::sleep(Duration::from_millis(100));
    site.handle.stop();
    assert_eq!(site.wait().cut, 1);
}

#[test]
fn whatever_came_before_the_stop_is_answered() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new();
        let address = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    });
    // One has asked, and its request has begun to come; one was not accepted when the stop came.
    let mut halfway = connect(address);
    ask(&mut halfway, b"one\ntw", b"one\n");
    let mut late = connect(address);
    site.handle.stop();
    late.write_all(b"late\n").unwrap();
    assert_eq!(take(&mut late, 5), b"late\n");
    halfway.write_all(b"o\n").unwrap();
    assert_eq!(take(&mut halfway, 4), b"two\n");
    assert_eq!(halfway.read(&mut [0; 1]).unwrap(), 0);
}

#[test]
fn a_plain_function_sees_the_end_of_its_input() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new();
        let farewell = |mut connection: Connection| {
            let mut all = Vec::new();
            connection.read_to_end(&mut all).unwrap();
            assert!(connection.is_stopping());
            connection.write_all(b"farewell").unwrap();
        };
        let address = server.listen_with("127.0.0.1:0", farewell).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = connect(address);
    stream.write_all(b"hello").unwrap();
    std::thread::sleep(Duration::from_millis(100));
    site.handle.stop();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "farewell");
    drop(stream);
    assert_eq!(site.stop().cut, 0);
}

/// One client: connects, asks on one connection until that is closed, and again. How many answers,
/// and how many of them were cut short.
fn load(address: SocketAddr, over: &AtomicBool, truncated: &AtomicUsize) -> usize {
    let mut answers = 0;
    while !over.load(Relaxed) {
        let Ok(mut stream) = std::net::TcpStream::connect(address) else { break };
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        while get(&mut stream, 0).is_ok() {
            let mut bytes = Vec::new();
            let mut buffer = [0; 16384];
            let ended = loop {
                match stream.read(&mut buffer) {
                    Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
                    _ => break true,
                }
                if let (true, is_last) = whole(&bytes) {
                    answers += 1;
                    break is_last;
                }
            };
            if ended {
                // Nothing at all is no answer cut short: it was closed before the request came.
                if !whole(&bytes).0 {
                    truncated.fetch_add(1, Relaxed);
                }
                break;
            }
        }
    }
    answers
}

#[test]
fn h13_a_stop_under_load_cuts_no_answer_short() {
    let rounds = rounds(5, 100);
    let truncated = AtomicUsize::new(0);
    let mut answers = 0;
    for round in 0..rounds {
        let (site, address) = http(Duration::from_secs(60), 1 + round % 2);
        let over = AtomicBool::new(false);
        let cut = std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..16).map(|_| scope.spawn(|| load(address, &over, &truncated))).collect();
            std::thread::sleep(Duration::from_millis(150 + 7 * round as u64));
            let totals = site.stop();
            over.store(true, Relaxed);
            answers += clients.into_iter().map(|client| client.join().unwrap()).sum::<usize>();
            totals.cut
        });
        assert_eq!(cut, 0, "within the grace time");
    }
    assert_eq!(truncated.load(Relaxed), 0);
    report("H13", rounds, &format!("stops under load, {answers} answers, 0 cut short"));
}
