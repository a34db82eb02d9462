//! Sessions between two requests, with a small buffer: they are not woken, and nothing is lost.

mod site;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped::Config;
use overlapped::task::Observer;
use overlapped_serve::{Limits, Listen, Peer, Server};
use overlapped_wire::http::{Answer, Http, text};
use overlapped_wire::line::Line;

use site::{Site, ask, connect, take};

/// The size of an idle session's read buffer.
const SMALL: usize = 1 << 10;

/// Counts switches of a server's only thread.
struct Switches(Arc<AtomicUsize>);

impl Observer for Switches {
    fn switched(&self, _: Option<u64>, _: u64) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn line(limits: Limits) -> (Site, (SocketAddr, Arc<AtomicUsize>)) {
    Site::run(move || {
        let count = Arc::new(AtomicUsize::new(0));
        let config = Config::new().observer(Switches(Arc::clone(&count)));
        let mut server = Server::new().config(config);
        let listen = Listen::on("127.0.0.1:0").limits(limits);
        let address = server.listen(listen, |_: &Peer| Line::default()).unwrap();
        (server, (address.tcp().unwrap(), count))
    })
}

/// Tells whether nothing runs in the server from soon after a request until long after it. On a
/// slow machine that may take another try.
fn falls_asleep(mut request: impl FnMut(), switches: &AtomicUsize) -> bool {
    (0..3).any(|_| {
        request();
        std::thread::sleep(Duration::from_millis(500));
        let before = switches.load(Relaxed);
        std::thread::sleep(Duration::from_millis(1_500));
        switches.load(Relaxed) == before
    })
}

#[test]
fn a_session_that_becomes_idle_is_not_woken() {
    let (_site, (address, switches)) = line(Limits::default());
    let mut stream = connect(address);
    assert!(falls_asleep(|| ask(&mut stream, b"hello\n", b"hello\n"), &switches));
    let before = switches.load(Relaxed);
    ask(&mut stream, b"still there\n", b"still there\n");
    assert!(switches.load(Relaxed) > before, "switches are counted");
}

#[test]
fn requests_of_every_length_are_complete_wherever_the_first_read_ends() {
    let (site, (address, _)) = line(Limits::default());
    let mut asked = 0;
    for len in (SMALL - 3..SMALL + 3).chain([2 * SMALL, 4 * SMALL - 1, 4 * SMALL, 4 * SMALL + 1]) {
        let mut stream = connect(address);
        let long: Vec<u8> = (0..len - 1).map(|at| b'a' + (at % 23) as u8).chain([b'\n']).collect();
        let piece = [&long[..], b"behind\n"].concat();
        for _ in 0..2 {
            ask(&mut stream, &long, &long);
            ask(&mut stream, b"short\n", b"short\n");
            ask(&mut stream, &piece, &piece);
            asked += 4;
        }
    }
    // Small requests, cut by the end of the first read.
    for len in [2, 3, 7, 100] {
        let mut stream = connect(address);
        let small: Vec<u8> = [&vec![b'x'; len - 1][..], b"\n"].concat();
        let many = small.repeat(3 * SMALL / len);
        ask(&mut stream, &many, &many);
        asked += many.len() / len;
    }
    assert_eq!(site.stop().requests, asked as u64);
}

#[test]
fn a_client_that_sends_much_is_closed_after_the_same_idle_time() {
    let idle = Duration::from_millis(1_500);
    let (site, (address, _)) = line(Limits { idle, ..Limits::default() });
    for len in [10, 3 * SMALL] {
        let mut stream = connect(address);
        let long = [&vec![b'x'; len][..], b"\n"].concat();
        let asked = Instant::now();
        ask(&mut stream, &long, &long);
        assert_eq!(stream.read(&mut [0; 10]).unwrap(), 0);
        assert!(asked.elapsed() >= idle, "{:?} after {len} bytes", asked.elapsed());
    }
    assert_eq!(site.stop().idle, 2);
}

fn hello(_: http::Request<()>, _: &mut dyn Read) -> Answer {
    text(http::StatusCode::OK, "hello")
}

#[test]
fn a_slow_head_times_out_whether_or_not_its_beginning_fills_the_first_read() {
    let head = Duration::from_millis(700);
    let (site, address) = Site::run(move || {
        let mut server = Server::new();
        let listen = Listen::on("127.0.0.1:0").limits(Limits { head, ..Limits::default() });
        let address = server.listen(listen, |_: &Peer| Http::new(hello)).unwrap();
        (server, address.tcp().unwrap())
    });
    for len in [10, SMALL, 3 * SMALL] {
        let mut stream = connect(address);
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"hello") {
            answer.extend(take(&mut stream, 1));
        }
        let begun = Instant::now();
        stream.write_all(format!("GET /{}", "x".repeat(len - 5)).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(begun.elapsed() >= head, "{:?}", begun.elapsed());
    }
    assert_eq!(site.stop().timed_out, 3);
}
