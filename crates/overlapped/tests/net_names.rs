//! Names with several addresses: Happy Eyeballs (RFC 8305).

mod support;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use overlapped::net::{TcpListener, TcpStream, ToSocketAddrs, lookup_host};
use overlapped::task::no_switch;
use overlapped::time::{sleep, timeout};
use overlapped::{run, spawn};
use socket2::{Domain, Socket, Type};
use support::{ms, wait_until};

/// A name with these addresses.
struct Name(Vec<SocketAddr>);

impl ToSocketAddrs for Name {
    type Iter = std::vec::IntoIter<SocketAddr>;

    fn to_socket_addrs(&self) -> io::Result<Self::Iter> {
        Ok(self.0.clone().into_iter())
    }

    fn is_name(&self) -> bool {
        true
    }
}

/// An address that never answers, of a listener that takes no further connection.
struct Silent {
    addr: SocketAddr,
    _sockets: Vec<Socket>,
}

fn silent(addr: &str) -> Silent {
    let addr: SocketAddr = addr.parse().unwrap();
    let new = || Socket::new(Domain::for_address(addr), Type::STREAM, None).unwrap();
    let listener = new();
    listener.bind(&addr.into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let mut sockets = vec![listener];
    for _ in 0..4 {
        let filler = new();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&addr);
        sockets.push(filler);
    }
    let silent = Silent { addr: addr.as_socket().unwrap(), _sockets: sockets };
    let late = std::net::TcpStream::connect_timeout(&silent.addr, ms(20)).map(drop);
    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut, "not tested: the address answers");
    silent
}

/// Returns an address without a listener.
fn refusing(addr: &str) -> SocketAddr {
    std::net::TcpListener::bind(addr).unwrap().local_addr().unwrap()
}

fn good(addr: &str) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(addr).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Counts the connects to `addr` that are under way (state 02) in this machine. The table is not a
/// snapshot: while sockets come and go, it may have lines twice or not at all. A count that is read
/// twice is right.
fn under_way(addr: SocketAddr) -> usize {
    let mut last = listed(addr);
    loop {
        match listed(addr) {
            same if same == last => return same,
            other => last = other,
        }
    }
}

fn listed(addr: SocketAddr) -> usize {
    let table = if addr.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    let port = format!(":{:04X}", addr.port());
    let text = std::fs::read_to_string(table).unwrap();
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.filter(|words| words[2].ends_with(&port) && words[3] == "02").count()
}

/// Waits until exactly `count` connects to it are under way: a connect to a silent address would go
/// on for minutes.
#[track_caller]
fn settles_at(addr: SocketAddr, count: usize) {
    wait_until("no other connect goes on", || under_way(addr) == count);
}

/// Connects. Returns the address and the time that it took.
fn connect(name: Name) -> (SocketAddr, Duration) {
    let begin = Instant::now();
    let stream = TcpStream::connect(name).unwrap();
    (stream.peer_addr().unwrap(), begin.elapsed())
}

#[test]
fn an_address_that_does_not_answer_costs_a_quarter_of_a_second() {
    let body = || {
        let (first, (_good, addr)) = (silent("127.0.0.1:0"), good("[::1]:0"));
        let before = under_way(first.addr);
        let (peer, took) = connect(Name(vec![first.addr, addr]));
        assert_eq!(peer, addr);
        assert!(took >= ms(240) && took < support::within(ms(600)), "{took:?}");
        settles_at(first.addr, before);
    };
    run(body).unwrap();
    // Outside a scheduler, too.
    body();
}

#[test]
fn an_address_that_refuses_costs_no_time() {
    run(|| {
        let (_good, addr) = good("127.0.0.1:0");
        let refusals = [refusing("127.0.0.1:0"), refusing("[::1]:0")];
        support::in_time(ms(200), || {
            let (peer, took) = connect(Name(vec![refusals[0], refusals[1], addr]));
            assert_eq!(peer, addr);
            took
        });
    })
    .unwrap();
}

#[test]
fn a_refusal_starts_the_next_attempt_and_leaves_the_others_running() {
    run(|| {
        let (first, (_good, addr)) = (silent("127.0.0.1:0"), good("127.0.0.1:0"));
        // 0 ms: silent. 250 ms: refused, so at once the good one.
        support::in_time(ms(450), || {
            let (peer, took) = connect(Name(vec![first.addr, refusing("127.0.0.1:0"), addr]));
            assert_eq!(peer, addr);
            assert!(took >= ms(240), "{took:?}");
            took
        });
    })
    .unwrap();
}

#[test]
fn the_second_family_comes_second() {
    run(|| {
        let (a, b, (_good, addr)) = (silent("127.0.0.1:0"), silent("127.0.0.1:0"), good("[::1]:0"));
        support::in_time(ms(450), || {
            let (peer, took) = connect(Name(vec![a.addr, b.addr, addr]));
            assert_eq!(peer, addr);
            took
        });
    })
    .unwrap();
}

#[test]
fn a_slow_first_address_still_wins_when_no_other_answers() {
    run(|| {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let addr = listener.local_addr().unwrap().as_socket().unwrap();
        let _full = std::net::TcpStream::connect(addr).unwrap();
        // Room comes later; the kernel asks again one second after its first try.
        let helper = spawn(move || {
            sleep(ms(400));
            drop(listener.accept().unwrap());
            listener
        });
        let other = silent("[::1]:0");
        let (peer, took) = connect(Name(vec![addr, other.addr]));
        assert_eq!(peer, addr);
        assert!(took >= ms(390), "not tested: {took:?}");
        drop(helper.join().unwrap());
    })
    .unwrap();
}

#[test]
fn when_all_fail_the_error_is_the_one_that_std_gives() {
    run(|| {
        let refused = refusing("127.0.0.1:0");
        let no_route = "255.255.255.255:9".parse().unwrap();
        let v6 = refusing("[::1]:0");
        let bad_port = "127.0.0.1:0".parse().unwrap();
        for addrs in [
            [refused, no_route, v6],
            [v6, refused, no_route],
            [refused, v6, no_route],
            [no_route, bad_port, refused],
        ] {
            let theirs = std::net::TcpStream::connect(&addrs[..]).unwrap_err();
            let ours = TcpStream::connect(Name(addrs.to_vec())).unwrap_err();
            assert_eq!(ours.raw_os_error(), theirs.raw_os_error(), "{addrs:?}");
        }
        let theirs = std::net::TcpStream::connect(&[][..]).unwrap_err();
        let ours = TcpStream::connect(Name(Vec::new())).unwrap_err();
        assert_eq!((ours.kind(), ours.to_string()), (theirs.kind(), theirs.to_string()));
    })
    .unwrap();
}

#[test]
fn a_kill_or_a_deadline_ends_all_attempts() {
    run(|| {
        let (a, b) = (silent("127.0.0.1:0"), silent("[::1]:0"));
        let name = || Name(vec![a.addr, b.addr]);
        let before = [under_way(a.addr), under_way(b.addr)];
        let begin = Instant::now();
        let late = timeout(ms(300), || TcpStream::connect(name()));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() < support::within(ms(600)));
        settles_at(a.addr, before[0]);
        settles_at(b.addr, before[1]);
        let stuck = no_switch(|| TcpStream::connect(name()));
        assert_eq!(stuck.unwrap_err().kind(), ErrorKind::WouldBlock);
        let name = name();
        let connecting = spawn(move || TcpStream::connect(name).map(drop));
        let both = [before[0] + 1, before[1] + 1];
        wait_until("both are under way", || [under_way(a.addr), under_way(b.addr)] == both);
        connecting.kill();
        assert!(connecting.join().is_err());
        settles_at(a.addr, before[0]);
        settles_at(b.addr, before[1]);
    })
    .unwrap();
}

#[test]
fn a_list_of_addresses_is_tried_one_after_another_as_in_std() {
    run(|| {
        let (first, (_good, addr)) = (silent("127.0.0.1:0"), good("127.0.0.1:0"));
        let late = timeout(ms(400), || TcpStream::connect(&[first.addr, addr][..]));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
    })
    .unwrap();
}

#[test]
fn localhost_is_found_in_whichever_family_it_listens() {
    run(|| {
        for place in ["127.0.0.1:0", "[::1]:0"] {
            let (_listener, addr) = good(place);
            let known: Vec<_> = lookup_host(("localhost", addr.port())).unwrap().collect();
            if !known.contains(&addr) {
                println!("SKIPPED: localhost has no address like {place}");
                continue;
            }
            let stream = TcpStream::connect(("localhost", addr.port())).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addr);
            let stream = TcpStream::connect(format!("localhost:{}", addr.port())).unwrap();
            assert_eq!(stream.peer_addr().unwrap(), addr);
        }
    })
    .unwrap();
}
