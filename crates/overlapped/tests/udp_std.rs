//! Every call on `UdpSocket` returns what std's returns. `against_std` compares them.

#[macro_use]
mod against_std;
mod support;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use against_std::{Log, ms, until_arrived};

scenarios! {
    with {
        use net::UdpSocket;

        /// A socket with a limit: the wait for a lost datagram ends with an error.
        fn bound(addr: &str) -> UdpSocket {
            let socket = UdpSocket::bind(addr).unwrap();
            socket.set_read_timeout(Some(ms(2_000))).unwrap();
            socket
        }

        /// Two sockets connected to each other.
        fn pair() -> (UdpSocket, UdpSocket) {
            let (a, b) = (bound("127.0.0.1:0"), bound("127.0.0.1:0"));
            a.connect(b.local_addr().unwrap()).unwrap();
            b.connect(a.local_addr().unwrap()).unwrap();
            (a, b)
        }
    }

    binding_and_names |log| {
        let first = bound("127.0.0.1:0");
        let addr = first.local_addr().unwrap();
        log.note("in use", UdpSocket::bind(addr).map(drop));
        let free: SocketAddr = "127.0.0.1:0".parse().unwrap();
        log.note("the second is free", UdpSocket::bind(&[addr, free][..]).map(drop));
        log.note("nothing to bind", UdpSocket::bind(&[][..]).map(drop));
        log.note("no port", UdpSocket::bind("127.0.0.1").map(drop));
        log.note("bad port", UdpSocket::bind("127.0.0.1:x").map(drop));
        log.note("not ours", UdpSocket::bind("192.0.2.1:0").map(drop));
        log.note("by name", UdpSocket::bind("localhost:0").map(drop));
        log.note("unknown name", UdpSocket::bind("no-such-name.invalid:1").map(drop));
        log.note("unconnected", first.peer_addr());
        log.note("send", first.send(b"x"));
        log.note("take_error", first.take_error());
        log.note("clone's", Ok(first.try_clone().unwrap().local_addr().unwrap() == addr));
        log.note("connect nowhere", first.connect(&[][..]));
        log.note("connect to the other family", first.connect("[::1]:9"));
        log.note("connect to a name", first.connect("localhost:9"));
        log.note("connected", first.peer_addr());
        log.note("connect to port 0", first.connect("127.0.0.1:0"));
    }

    both_families_and_senders |log| {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let (a, b) = (bound(text), bound(text));
            let (to_a, to_b) = (a.local_addr().unwrap(), b.local_addr().unwrap());
            log.note("send_to", a.send_to(b"hello", to_b));
            log.note("send_to a list", a.send_to(b"more", &[to_b, to_a][..]));
            let mut buf = [0; 16];
            log.note("peek_from", b.peek_from(&mut buf).map(|(n, from)| (n, from == to_a)));
            log.note("recv_from", b.recv_from(&mut buf).map(|(n, from)| (n, from == to_a)));
            log.note("what", Ok(buf));
            log.note("recv", b.recv(&mut buf));
            log.note("nowhere", a.send_to(b"x", &[][..]));
            log.note("port 0", a.send_to(b"x", "127.0.0.1:0"));
            log.note("other family", a.send_to(b"x", if text.starts_with('[') {
                "127.0.0.1:9"
            } else {
                "[::1]:9"
            }));
            a.connect(to_b).unwrap();
            log.note("peer", Ok(a.peer_addr().unwrap() == to_b));
            log.note("send", a.send(b"again"));
            log.note("recv", b.recv(&mut buf));
            log.note("connected, to another", a.send_to(b"self", to_a));
        }
    }

    only_the_peer_is_heard_after_connect |log| {
        let (a, b) = pair();
        let stranger = bound("127.0.0.1:0");
        log.note("stranger", stranger.send_to(b"stranger", a.local_addr().unwrap()));
        log.note("peer", b.send(b"peer"));
        let mut buf = [0; 16];
        log.note("recv", a.recv(&mut buf));
        a.set_read_timeout(Some(ms(20))).unwrap();
        log.note("no more", a.recv(&mut buf));
        log.note("nor from", a.recv_from(&mut buf).map(drop));
    }

    a_datagram_is_cut_and_never_merged |log| {
        let (a, b) = pair();
        for text in ["one", "two, longer", "", "three"] {
            log.note("send", a.send(text.as_bytes()));
        }
        let mut buf = [b'-'; 5];
        log.note("peek cuts", b.peek(&mut buf[..2]));
        log.note("whole", b.recv(&mut buf));
        log.note("cut", b.recv(&mut buf));
        log.note("what", Ok(buf));
        log.note("empty", b.recv(&mut buf));
        log.note("the next", b.recv_from(&mut buf).map(|(n, _)| n));
        log.note("what", Ok(buf));
        log.note("empty to", a.send_to(b"", b.local_addr().unwrap()));
        log.note("empty from", b.recv_from(&mut buf).map(|(n, _)| n));
        log.note("send", a.send(b"lost"));
        log.note("an empty buffer takes a datagram", b.recv(&mut []));
        log.note("send", a.send(b"lost"));
        log.note("an empty buffer from", b.recv_from(&mut []).map(|(n, _)| n));
        log.note("send", a.send(b"kept"));
        log.note("an empty peek", b.peek(&mut []));
        log.note("an empty peek from", b.peek_from(&mut []).map(|(n, _)| n));
        log.note("kept", b.recv(&mut buf));
        b.set_read_timeout(Some(ms(10))).unwrap();
        log.note("an empty buffer waits, too", b.recv(&mut []));
        log.note("nothing is left", b.recv(&mut buf));
        let longest = vec![7; 65_507];
        log.note("longest", a.send(&longest));
        let mut big = vec![0; 70_000];
        log.note("longest", b.recv(&mut big));
        log.note("equal", Ok(big[..65_507] == longest));
        log.note("too long", a.send(&vec![0; 65_508]));
        log.note("too long to", a.send_to(&vec![0; 65_508], b.local_addr().unwrap()));
    }

    no_receiver |log| {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let a = bound("127.0.0.1:0");
        a.connect(gone).unwrap();
        let mut buf = [0; 8];
        log.note("first send", a.send(b"x"));
        until_arrived(&a);
        log.note("recv", a.recv(&mut buf));
        log.note("send", a.send(b"x"));
        until_arrived(&a);
        log.note("the next send", a.send(b"x"));
        log.note("send", a.send(b"x"));
        until_arrived(&a);
        log.note("taken", a.take_error().map(|error| error.map(|error| error.kind())));
        log.note("once", a.take_error().map(drop));
        let other = a.try_clone().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            let _ = other.send(b"x");
        });
        log.note("while waiting", a.recv(&mut buf));
        helper.join().unwrap();
        log.note("peek_from", a.send(b"x").and_then(|_| {
            until_arrived(&a);
            a.peek_from(&mut buf).map(drop)
        }));
        let unconnected = bound("127.0.0.1:0");
        log.note("unconnected", unconnected.send_to(b"x", gone));
        sleep(ms(10));
        log.note("hears nothing of it", unconnected.send_to(b"x", gone));
    }

    options |log| {
        let v4 = bound("127.0.0.1:0");
        log.note("broadcast", v4.broadcast());
        log.note("forbidden", v4.send_to(b"x", "255.255.255.255:9"));
        log.note("connect", v4.connect("255.255.255.255:9"));
        log.note("set", v4.set_broadcast(true));
        log.note("broadcast", v4.broadcast());
        log.note("connect", v4.connect("255.255.255.255:9"));
        log.note("loop", v4.multicast_loop_v4());
        log.note("set", v4.set_multicast_loop_v4(false));
        log.note("loop", v4.multicast_loop_v4());
        log.note("multicast ttl", v4.multicast_ttl_v4());
        log.note("set", v4.set_multicast_ttl_v4(7));
        log.note("multicast ttl", v4.multicast_ttl_v4());
        log.note("bad", v4.set_multicast_ttl_v4(7_000));
        log.note("set ttl", v4.set_ttl(42));
        log.note("ttl", v4.ttl());
        log.note("bad ttl", v4.set_ttl(7_000));
        log.note("loop v6 of v4", v4.multicast_loop_v6());
        log.note("set loop v6 of v4", v4.set_multicast_loop_v6(true));
        log.note("v6 group of v4", v4.join_multicast_v6(&Ipv6Addr::LOCALHOST, 0));
        let v6 = bound("[::1]:0");
        log.note("loop", v6.multicast_loop_v6());
        log.note("set", v6.set_multicast_loop_v6(false));
        log.note("loop", v6.multicast_loop_v6());
        log.note("ttl of v6", v6.ttl());
        let no_group = Ipv4Addr::new(10, 0, 0, 1);
        log.note("no group", v4.join_multicast_v4(&no_group, &Ipv4Addr::UNSPECIFIED));
        log.note("no member", v4.leave_multicast_v4(&Ipv4Addr::new(239, 1, 2, 3),
            &Ipv4Addr::LOCALHOST));
        log.note("no v6 group", v6.join_multicast_v6(&Ipv6Addr::LOCALHOST, 1));
        log.note("no v6 member", v6.leave_multicast_v6(&"ff02::1:2".parse().unwrap(), 1));
    }

    multicast |log| {
        let group = Ipv4Addr::new(239, 86, 75, 30);
        let receiver = bound("0.0.0.0:0");
        let port = receiver.local_addr().unwrap().port();
        log.note("join", receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST));
        log.note("twice", receiver.join_multicast_v4(&group, &Ipv4Addr::LOCALHOST));
        // The sender's interface is the one that it is bound to.
        let sender = bound("127.0.0.1:0");
        log.note("send", sender.send_to(b"all", (group, port)));
        let mut buf = [0; 8];
        receiver.set_read_timeout(Some(ms(200))).unwrap();
        log.note("recv", receiver.recv_from(&mut buf).map(|(n, from)| {
            (n, from == sender.local_addr().unwrap())
        }));
        log.note("leave", receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST));
        log.note("leave twice", receiver.leave_multicast_v4(&group, &Ipv4Addr::LOCALHOST));
        let group: Ipv6Addr = "ff01::8675:309".parse().unwrap();
        let receiver = bound("[::]:0");
        log.note("join v6", receiver.join_multicast_v6(&group, 1));
        log.note("leave v6", receiver.leave_multicast_v6(&group, 1));
    }

    time_limits |log| {
        let (a, b) = pair();
        log.note("zero", a.set_read_timeout(Some(Duration::ZERO)));
        log.note("zero", a.set_write_timeout(Some(Duration::ZERO)));
        log.note("none yet", a.write_timeout());
        log.note("set", a.set_read_timeout(Some(ms(40))));
        log.note("set", a.set_write_timeout(Some(ms(60))));
        log.note("get", a.read_timeout());
        log.note("get", a.write_timeout());
        log.note("the clone's", a.try_clone().unwrap().read_timeout());
        let mut buf = [0; 8];
        let begin = Instant::now();
        log.note("late", a.recv(&mut buf));
        log.note("waited", Ok(begin.elapsed() >= ms(36) && begin.elapsed() < ms(20_000)));
        log.note("late", a.recv_from(&mut buf).map(drop));
        log.note("late", a.peek(&mut buf));
        log.note("late", a.peek_from(&mut buf).map(drop));
        log.note("send", b.send(b"x"));
        log.note("in time", a.recv_from(&mut buf).map(|(n, _)| n));
        log.note("tiny", a.set_read_timeout(Some(Duration::from_nanos(1))));
        log.note("send", b.send(b"there"));
        until_arrived(&a);
        log.note("tiny, but it is there", a.recv_from(&mut buf).map(|(n, _)| n));
        log.note("unset", a.set_read_timeout(None));
        log.note("get", a.read_timeout());
    }

    nonblocking_mode |log| {
        let (a, b) = pair();
        let clone = a.try_clone().unwrap();
        log.note("set", clone.set_nonblocking(true));
        let mut buf = [0; 8];
        log.note("recv", a.recv(&mut buf));
        log.note("recv_from", a.recv_from(&mut buf).map(drop));
        log.note("peek", a.peek(&mut buf));
        log.note("peek_from", a.peek_from(&mut buf).map(drop));
        log.note("send", b.send(b"now"));
        until_arrived(&a);
        log.note("peek_from", a.peek_from(&mut buf).map(|(n, _)| n));
        log.note("recv", a.recv(&mut buf));
        log.note("back", a.set_nonblocking(false));
        a.set_read_timeout(Some(ms(20))).unwrap();
        log.note("waits again", clone.recv(&mut buf));
    }

    sockets_of_another_kind |log| {
        let stream = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = UdpSocket::from(OwnedFd::from(stream));
        log.note("recv", socket.recv(&mut [0; 4]));
        log.note("recv_from", socket.recv_from(&mut [0; 4]).map(drop));
        log.note("send_to", socket.send_to(b"x", "127.0.0.1:9"));
        // The sender has a name: without one the kernel writes no address, and std (1.95) reads
        // uninitialised memory, and may panic.
        let folder = tempfile::tempdir().unwrap();
        let other = std::os::unix::net::UnixDatagram::bind(folder.path().join("name")).unwrap();
        let one = std::os::unix::net::UnixDatagram::bind(folder.path().join("one")).unwrap();
        other.send_to(b"unix", folder.path().join("one")).unwrap();
        let socket = UdpSocket::from(OwnedFd::from(one));
        log.note("recv_from", socket.recv_from(&mut [0; 4]).map(drop));
        log.note("address", socket.local_addr());
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let socket = UdpSocket::from(null);
        log.note("recv null", socket.recv(&mut [0; 4]));
        log.note("recv_from null", socket.recv_from(&mut [0; 4]).map(drop));
        log.note("send null", socket.send(b"x"));
    }

    descriptions |log| {
        let socket = bound("127.0.0.1:0");
        let fd = format!("fd: {}", socket.as_raw_fd());
        let addr = socket.local_addr().unwrap().to_string();
        log.note("socket", Ok(format!("{socket:?}").replace(&fd, "fd: N").replace(&addr, "A")));
    }
}
