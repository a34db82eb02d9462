//! The limits for clients, and the answers beyond them.

mod site;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped_serve::{Limits, Listen, Peer, Server};
use overlapped_wire::http::{Answer, Content, Http};
use overlapped_wire::line::Line;

use site::{Site, ask, connect, is_torture, report, rounds, take, wait_until};

fn line(limits: Limits) -> (Site, SocketAddr) {
    Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        (server, address.tcp().unwrap())
    })
}

#[test]
fn further_clients_wait_for_a_slot_and_none_is_refused() {
    let (site, address) = line(Limits { connections: 2, ..Limits::default() });
    let (mut first, mut second) = (connect(address), connect(address));
    ask(&mut first, b"1\n", b"1\n");
    ask(&mut second, b"2\n", b"2\n");
    let mut third = connect(address);
    third.write_all(b"3\n").unwrap();
    third.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(third.read(&mut [0; 2]).is_err(), "there is no seat");
    drop(first);
    third.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    assert_eq!(take(&mut third, 2), b"3\n");
    let totals = site.stop();
    assert_eq!((totals.accepted, totals.peak, totals.refused), (3, 2, 0));
}

#[test]
fn one_address_has_limited_connections_and_others_are_served() {
    let (site, address) = line(Limits { per_address: 2, ..Limits::default() });
    let (mut first, mut second) = (connect(address), connect(address));
    ask(&mut first, b"1\n", b"1\n");
    ask(&mut second, b"2\n", b"2\n");
    let mut third = connect(address);
    assert!(matches!(third.read(&mut [0; 2]), Ok(0) | Err(_)), "it is closed at once");
    let other = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    other.bind(&SocketAddr::from(([127, 0, 0, 2], 0)).into()).unwrap();
    other.connect(&address.into()).unwrap();
    ask(&mut TcpStream::from(other), b"4\n", b"4\n");
    drop(first);
    // The slot is free when the session has noticed that the client has left.
    wait_until("the seat is free", || {
        let mut again = connect(address);
        again.write_all(b"5\n").is_ok() && again.read_exact(&mut [0; 2]).is_ok()
    });
    assert!(site.stop().refused >= 1);
}

#[test]
fn a_request_beyond_the_limit_is_refused() {
    let limits = Limits { request_bytes: 8 << 10, ..Limits::default() };
    let (site, address) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let line = |_: &Peer| overlapped_wire::length::Length::default();
        let address = server.listen(listen, line).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = connect(address);
    let request = [&b"100000\n"[..], &[b'x'; 100_000]].concat();
    let _ = stream.write_all(&request);
    assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
    assert_eq!(site.stop().malformed, 1);
}

#[test]
fn a_head_beyond_the_limit_gets_an_http_answer_with_the_extra_headers() {
    let (site, address) = Site::run(|| {
        let mut server = Server::new();
        let limits = Limits { request_bytes: 4 << 10, ..Limits::default() };
        let mut fields = http::HeaderMap::new();
        fields.insert("x-a", http::HeaderValue::from_static("b"));
        let fields = std::sync::Arc::new(fields);
        let hello = |_: http::Request<()>, _: &mut dyn Read| -> Answer {
            overlapped_wire::http::text(http::StatusCode::OK, "hello")
        };
        let http = move |_: &Peer| Http::new(hello).fields(std::sync::Arc::clone(&fields));
        let address = server.listen(Listen::on("127.0.0.1:0").limits(limits), http).unwrap();
        (server, address.tcp().unwrap())
    });
    let mut stream = connect(address);
    let long = "x".repeat(5_000);
    write!(stream, "GET / HTTP/1.1\r\nHost: a\r\nX: {long}").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 431 ") && answer.contains("\r\nX-A: b\r\n"), "{answer}");
    assert_eq!(site.stop().malformed, 1);
}

#[test]
fn a_client_that_pipelines_without_reading_is_not_read_for_ever() {
    let limits = Limits { allowance: Duration::from_secs(600), ..Limits::default() };
    let (_site, address) = line(limits);
    let mut stream = connect(address);
    stream.set_nonblocking(true).unwrap();
    let lines = b"some line\n".repeat(1000);
    let mut sent = 0;
    let mut last = Instant::now();
    while last.elapsed() < Duration::from_millis(500) {
        if let Ok(written) = stream.write(&lines[sent % lines.len()..]) {
            sent += written;
            last = Instant::now();
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // The server has stopped reading: now all replies arrive.
    stream.set_nonblocking(false).unwrap();
    let mut came = 0;
    let mut buffer = [0; 65536];
    while came < sent / 10 * 10 {
        let read = stream.read(&mut buffer).unwrap();
        assert!(read > 0);
        for (at, byte) in buffer[..read].iter().enumerate() {
            assert_eq!(*byte, lines[(came + at) % lines.len()]);
        }
        came += read;
    }
}

/// The behaviour of a slow client.
#[derive(Debug, Clone, Copy)]
enum Slowness {
    Head,
    Body,
    Reading,
}

fn large(_: http::Request<()>, body: &mut dyn Read) -> Answer {
    let mut all = Vec::new();
    match body.read_to_end(&mut all) {
        Ok(0) => {
            let reader = Box::new(std::io::repeat(b'x'));
            Answer::new(Content::Reader { reader, len: Some(64 << 20) })
        }
        _ => Answer::new(Content::EMPTY),
    }
}

/// A slow client, which does nothing most of the time.
struct Slow {
    stream: TcpStream,
    slowness: Slowness,
    begin: Instant,
}

impl Slow {
    fn connect(address: SocketAddr, slowness: Slowness) -> Slow {
        let mut stream = connect(address);
        let head: &[u8] = match slowness {
            Slowness::Head => b"GET / HTTP/1.1\r\n",
            Slowness::Body => b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n",
            Slowness::Reading => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        let begin = Instant::now();
        stream.write_all(head).unwrap();
        stream.set_nonblocking(true).unwrap();
        Slow { stream, slowness, begin }
    }

    /// Sends a byte now and then, and checks whether the server has closed the connection.
    fn is_over(&mut self) -> bool {
        let mut few = [0; 64];
        match self.slowness {
            Slowness::Reading => {
                // Bytes that were under way can still be read after a reset.
                self.stream.take_error().unwrap().is_some()
                    || match self.stream.read(&mut few) {
                        Ok(count) => count == 0,
                        Err(error) => error.kind() != ErrorKind::WouldBlock,
                    }
            }
            Slowness::Head | Slowness::Body => {
                let sent = self.stream.write(b"x");
                let answered = !matches!(self.stream.read(&mut few), Err(error)
                    if error.kind() == ErrorKind::WouldBlock);
                sent.is_err() || answered
            }
        }
    }
}

/// Runs many slow clients; returns how long each was served.
fn trickle(address: SocketAddr, slowness: Slowness, count: usize) -> Vec<Duration> {
    let mut clients: Vec<_> = (0..count).map(|_| Slow::connect(address, slowness)).collect();
    let mut times = Vec::new();
    while !clients.is_empty() {
        std::thread::sleep(Duration::from_millis(200));
        clients.retain_mut(|client| {
            let time = client.begin.elapsed();
            assert!(time < Duration::from_secs(60), "{slowness:?} is never closed");
            let over = client.is_over();
            times.extend(over.then_some(time));
            !over
        });
    }
    times
}

/// Returns the resident memory of this process in KiB.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn h6_slow_clients_are_closed_by_their_deadline_and_disturb_no_other() {
    let each = rounds(24, 1_950);
    let reading = each.min(100);
    let limit = Duration::from_secs(if is_torture() { 3 } else { 1 });
    let limits = Limits {
        head: limit,
        allowance: limit,
        rate: 100_000,
        per_address: usize::MAX,
        ..Limits::default()
    };
    let (site, address) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, |_: &Peer| Http::new(large)).unwrap();
        let probe = server.listen("127.0.0.1:0", |_: &Peer| Line::default()).unwrap();
        (server, (address.tcp().unwrap(), probe.tcp().unwrap()))
    });
    let (address, probe) = address;
    let over = AtomicBool::new(false);
    let before = resident();
    let (slowest, (mut probes, most)) = std::thread::scope(|scope| {
        let probes = scope.spawn(|| {
            let mut stream = connect(probe);
            let (mut times, mut most) = (Vec::new(), 0);
            while !over.load(Relaxed) {
                let begin = Instant::now();
                ask(&mut stream, b"probe\n", b"probe\n");
                times.push(begin.elapsed());
                most = most.max(resident());
                std::thread::sleep(Duration::from_millis(5));
            }
            (times, most)
        });
        let crowd = |slowness, count| scope.spawn(move || trickle(address, slowness, count));
        // Only few slow readers: each one's answer fills the socket's buffers.
        let clients = [
            crowd(Slowness::Head, each),
            crowd(Slowness::Body, each),
            crowd(Slowness::Reading, reading),
        ];
        let times: Vec<_> = clients.into_iter().map(|client| client.join()).collect();
        over.store(true, Relaxed);
        let slowest = times.into_iter().flat_map(Result::unwrap).max().unwrap();
        (slowest, probes.join().unwrap())
    });
    probes.sort();
    let p99 = probes[probes.len() * 99 / 100];
    let clients = 2 * each + reading;
    let memory = most.saturating_sub(before) / clients;
    if is_torture() {
        // A reader may be behind by 64 KiB more, and its system takes some bytes at the beginning.
        // The clients check five times a second.
        assert!(slowest < limit * 2 + Duration::from_millis(1_200), "{slowest:?}");
        assert!(p99 < Duration::from_millis(100), "{p99:?}");
        assert!(memory <= 64, "{memory} KiB for each");
    }
    // The bound is generous, because the machine may be slow, too.
    assert!(slowest < Duration::from_secs(20), "{slowest:?}");
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
    let totals = site.stop();
    assert_eq!(totals.timed_out, clients as u64, "{totals}");
    let text = format!(
        "slow clients closed after at most {:.1} s (limit {} s); a probe's p99 {:.1} ms; {memory} \
         KiB for each, clients included",
        slowest.as_secs_f64(),
        limit.as_secs(),
        p99.as_secs_f64() * 1e3
    );
    report("H6", clients, &text);
}
