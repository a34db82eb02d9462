//! Every call on `UnixStream`, `UnixListener` and `UnixDatagram` returns what std's returns.
//! `against_std` compares them.

#[macro_use]
mod against_std;
mod support;

use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use against_std::{Log, ms};
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

/// Returns an abstract name that is not in use.
fn fresh_name() -> SocketAddr {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("overlapped unix_std {} {number}", std::process::id());
    SocketAddr::from_abstract_name(name).unwrap()
}

/// Returns an address without the parts that differ between two runs.
fn plain(addr: io::Result<SocketAddr>) -> io::Result<String> {
    addr.map(|addr| match (addr.as_pathname(), addr.as_abstract_name()) {
        (Some(path), _) => format!("path {:?}", path.file_name()),
        (_, Some(name)) => format!("abstract, {} bytes", name.len().min(40)),
        _ => format!("unnamed {}", addr.is_unnamed()),
    })
}

/// A bare socket of this kind.
fn bare(kind: Type) -> OwnedFd {
    Socket::new(Domain::UNIX, kind, None).unwrap().into()
}

scenarios! {
    with {
        use unix::{UnixDatagram, UnixListener, UnixStream};

        fn full(mut stream: &UnixStream) -> io::Result<usize> {
            let chunk = vec![0; 1 << 20];
            loop {
                match stream.write(&chunk) {
                    Ok(_) => {}
                    full => return full,
                }
            }
        }
    }

    names_of_streams |log| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        log.note("in use", UnixListener::bind(&path).map(drop));
        log.note("listener", plain(listener.local_addr()));
        let mut client = UnixStream::connect(&path).unwrap();
        let (mut server, from) = listener.accept().unwrap();
        log.note("from", plain(Ok(from)));
        log.note("client", plain(client.local_addr()));
        log.note("client's peer", plain(client.peer_addr()));
        log.note("server", plain(server.local_addr()));
        log.note("server's peer", plain(server.peer_addr()));
        log.note("write", client.write(b"hello"));
        let mut buf = [0; 16];
        log.note("read", server.read(&mut buf));
        log.note("flush", client.flush());
        log.note("clone", plain(client.try_clone().and_then(|clone| clone.peer_addr())));
        log.note("take_error", client.take_error());
        log.note("take_error", listener.take_error());
        drop(client);
        log.note("end", server.read(&mut buf));
        log.note("broken", server.write(b"x"));
        drop(listener);
        log.note("the path is left", Ok(path.exists()));
        log.note("refused", UnixStream::connect(&path).map(drop));
        log.note("still in use", UnixListener::bind(&path).map(drop));
        log.note("missing", UnixStream::connect(dir.path().join("none")).map(drop));
        log.note("a folder", UnixStream::connect(dir.path()).map(drop));
        log.note("too long", UnixStream::connect("x".repeat(108)).map(drop));
        log.note("too long", UnixListener::bind("x".repeat(108)).map(drop));
        log.note("with a zero", UnixStream::connect("a\0b").map(drop));
        log.note("with a zero first", UnixStream::connect("\0b").map(drop));
        log.note("empty", UnixStream::connect("").map(drop));
        log.note("bind empty", UnixListener::bind("").and_then(|l| plain(l.local_addr())));
        log.note("no folder", UnixListener::bind("/no/such/folder/socket").map(drop));
    }

    abstract_names |log| {
        let name = fresh_name();
        let listener = UnixListener::bind_addr(&name).unwrap();
        log.note("in use", UnixListener::bind_addr(&name).map(drop));
        log.note("name", Ok(listener.local_addr().unwrap().as_abstract_name()
            == name.as_abstract_name()));
        let client = UnixStream::connect_addr(&name).unwrap();
        log.note("from", plain(listener.accept().map(|(_, from)| from)));
        log.note("peer", Ok(client.peer_addr().unwrap().as_abstract_name()
            == name.as_abstract_name()));
        drop(listener);
        log.note("gone", UnixStream::connect_addr(&name).map(drop));
        // A client with a name of its own.
        let listener = UnixListener::bind_addr(&name).unwrap();
        let own = fresh_name();
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut bytes = vec![0];
        bytes.extend_from_slice(own.as_abstract_name().unwrap());
        socket.bind(&SockAddr::unix(String::from_utf8(bytes).unwrap()).unwrap()).unwrap();
        let mut bytes = vec![0];
        bytes.extend_from_slice(name.as_abstract_name().unwrap());
        socket.connect(&SockAddr::unix(String::from_utf8(bytes).unwrap()).unwrap()).unwrap();
        log.note("its name", Ok(listener.accept().unwrap().1.as_abstract_name()
            == own.as_abstract_name()));
        for name in [&b""[..], b"\0\0", &[b'n'; 107]] {
            let addr = SocketAddr::from_abstract_name(name).unwrap();
            let socket = UnixDatagram::bind_addr(&addr);
            log.note("odd", socket.map(|socket| {
                socket.local_addr().unwrap().as_abstract_name() == Some(name)
            }));
        }
    }

    pairs_and_shutdown |log| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        log.note("name", plain(a.local_addr()));
        log.note("peer", plain(a.peer_addr()));
        let mut buf = [0; 8];
        b.write_all(b"pending").unwrap();
        log.note("read side", a.shutdown(Shutdown::Read));
        log.note("the bytes present", a.read(&mut buf));
        log.note("then the end", a.read(&mut buf));
        log.note("the other cannot write", b.write(b"x"));
        log.note("write side", a.shutdown(Shutdown::Write));
        log.note("no more", a.write(b"x"));
        log.note("nor vectored", a.write_vectored(&[IoSlice::new(b"x")]));
        log.note("nor nothing", a.write(b""));
        log.note("again", a.shutdown(Shutdown::Write));
        log.note("the other reads", b.read(&mut buf));
        log.note("both", b.shutdown(Shutdown::Both));
        let (mut a, _b) = UnixStream::pair().unwrap();
        let clone = a.try_clone().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            clone.shutdown(Shutdown::Read).unwrap();
        });
        log.note("a blocked reader", a.read(&mut buf));
        helper.join().unwrap();
        let (mut a, b) = UnixStream::pair().unwrap();
        a.write_all(b"unread").unwrap();
        drop(b);
        log.note("reset by unread bytes", a.read(&mut buf));
        log.note("then the end", a.read(&mut buf));
        let listener = UnixListener::bind_addr(&fresh_name()).unwrap();
        SockRef::from(&listener).shutdown(Shutdown::Both).unwrap();
        log.note("a listener shut down", listener.accept().map(drop));
    }

    vectored |log| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        log.note("none", a.write_vectored(&[]));
        log.note("empty", a.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"")]));
        log.note("read none", b.read_vectored(&mut []));
        log.note("read empty", b.read_vectored(&mut [IoSliceMut::new(&mut [])]));
        log.note("some", a.write_vectored(&[IoSlice::new(b"ab"), IoSlice::new(b"cde")]));
        let (mut one, mut two) = ([0; 3], [0; 3]);
        let mut both = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        log.note("read", b.read_vectored(&mut both));
        log.note("what", Ok((one, two)));
        let many: Vec<IoSlice<'_>> = (0..2_000).map(|_| IoSlice::new(b"z")).collect();
        log.note("2,000 slices", a.write_vectored(&many));
        let mut bytes = vec![0; 2_000];
        let mut slices: Vec<IoSliceMut<'_>> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        log.note("into 2,000", b.read_vectored(&mut slices));
        log.note("empty write", a.write(b""));
        a.write_all(b"q").unwrap();
        log.note("empty buffer, bytes there", b.read(&mut []));
        log.note("still there", b.read(&mut [0; 4]));
    }

    time_limits_of_streams |log| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        log.note("zero", a.set_read_timeout(Some(Duration::ZERO)));
        log.note("zero", a.set_write_timeout(Some(Duration::ZERO)));
        log.note("none yet", a.read_timeout());
        log.note("set", a.set_read_timeout(Some(ms(40))));
        log.note("get", a.read_timeout());
        let mut buf = [0; 8];
        let begin = Instant::now();
        log.note("late", a.read(&mut buf));
        log.note("waited", Ok(begin.elapsed() >= ms(36) && begin.elapsed() < ms(20_000)));
        log.note("late vectored", a.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
        log.note("the clone is late", (&a.try_clone().unwrap()).read(&mut buf));
        b.write_all(b"x").unwrap();
        log.note("in time", a.read(&mut buf));
        log.note("write limit", a.set_write_timeout(Some(ms(40))));
        log.note("without a reader", full(&a));
        log.note("get", a.write_timeout());
        let name = fresh_name();
        let listener = UnixListener::bind_addr(&name).unwrap();
        SockRef::from(&listener).set_read_timeout(Some(ms(100))).unwrap();
        let _client = UnixStream::connect_addr(&name).unwrap();
        let listener = UnixListener::from(OwnedFd::from(listener));
        let (accepted, _) = listener.accept().unwrap();
        log.note("the accepted one's", accepted.read_timeout());
        log.note("a listener's limit", listener.accept().map(drop));
    }

    nonblocking_mode |log| {
        let name = fresh_name();
        let listener = UnixListener::bind_addr(&name).unwrap();
        log.note("set", listener.set_nonblocking(true));
        log.note("no client", listener.accept().map(drop));
        log.note("no client incoming", listener.incoming().next().unwrap().map(drop));
        log.note("no client in the loop", (&listener).into_iter().next().unwrap().map(drop));
        let mut client = UnixStream::connect_addr(&name).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || { until_waits(); client.write_all(b"late").unwrap(); client });
        let mut buf = [0; 8];
        log.note("the accepted one waits", server.read(&mut buf));
        let mut client = helper.join().unwrap();
        log.note("set", client.try_clone().unwrap().set_nonblocking(true));
        log.note("read", client.read(&mut buf));
        log.note("vectored", client.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
        server.write_all(b"now").unwrap();
        log.note("read", client.read(&mut buf));
        log.note("full", full(&client));
        log.note("full vectored", client.write_vectored(&[IoSlice::new(&buf)]));
        log.note("back", client.set_nonblocking(false));
    }

    sockets_in_no_state |log| {
        let mut stream = UnixStream::from(bare(Type::STREAM));
        log.note("peer", stream.peer_addr().map(drop));
        log.note("name", plain(stream.local_addr()));
        log.note("read", stream.read(&mut [0; 4]));
        log.note("write", stream.write(b"x"));
        log.note("shutdown", stream.shutdown(Shutdown::Both));
        log.note("accept", UnixListener::from(bare(Type::STREAM)).accept().map(drop));
        log.note("accept datagrams", UnixListener::from(bare(Type::DGRAM)).accept().map(drop));
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = tcp.local_addr().unwrap();
        let listener = UnixListener::from(OwnedFd::from(tcp));
        let _client = std::net::TcpStream::connect(addr).unwrap();
        log.note("accept TCP", listener.accept().map(drop));
        log.note("TCP's address", listener.local_addr().map(drop));
        let null = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        let null = UnixDatagram::from(null);
        log.note("recv null", null.recv(&mut [0; 4]));
        log.note("recv_from null", null.recv_from(&mut [0; 4]).map(drop));
        log.note("null's address", null.local_addr().map(drop));
    }

    datagrams |log| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let a = UnixDatagram::bind(&path).unwrap();
        log.note("in use", UnixDatagram::bind(&path).map(drop));
        log.note("name", plain(a.local_addr()));
        let b = UnixDatagram::unbound().unwrap();
        log.note("unbound", plain(b.local_addr()));
        log.note("send_to", b.send_to(b"hello", &path));
        let mut buf = [0; 4];
        log.note("cut, unnamed", a.recv_from(&mut buf).map(|(n, from)| (n, from.is_unnamed())));
        log.note("unconnected", b.send(b"x"));
        log.note("peer", b.peer_addr().map(drop));
        log.note("missing", b.send_to(b"x", dir.path().join("none")));
        log.note("too long", b.send_to(b"x", "x".repeat(108)));
        log.note("connect to nothing", b.connect(dir.path().join("none")));
        log.note("connect", b.connect(&path));
        log.note("peer", plain(b.peer_addr()));
        for text in ["one", "", "two, longer"] {
            log.note("send", b.send(text.as_bytes()));
        }
        log.note("recv", a.recv(&mut buf));
        log.note("empty", a.recv(&mut buf));
        log.note("cut", a.recv(&mut buf));
        log.note("what", Ok(buf));
        let named = UnixDatagram::bind_addr(&fresh_name()).unwrap();
        log.note("connect_addr", named.connect_addr(&a.local_addr().unwrap()));
        log.note("send", named.send(b"x"));
        log.note("from", plain(a.recv_from(&mut buf).map(|(_, from)| from)));
        let to = named.local_addr().unwrap();
        log.note("send_to_addr", a.send_to_addr(b"back", &to));
        log.note("recv", named.recv(&mut buf));
        log.note("a stranger", b.send_to_addr(b"x", &to));
        log.note("an empty buffer takes it", { b.send(b"lost").unwrap(); a.recv(&mut []) });
        log.note("and from", {
            b.send(b"lost").unwrap();
            a.recv_from(&mut []).map(|(n, from)| (n, from.is_unnamed()))
        });
        log.note("too big", b.send(&vec![0; 1 << 24]));
        log.note("too big", b.send_to(&vec![0; 1 << 24], &path));
        drop(a);
        log.note("the receiver is gone", b.send(b"x"));
        log.note("again", b.send(b"x"));
        log.note("to it", b.send_to(b"x", &path));
    }

    datagram_pairs |log| {
        let (a, b) = UnixDatagram::pair().unwrap();
        log.note("peer", plain(a.peer_addr()));
        log.note("send", a.send(b"hello"));
        let mut buf = [0; 8];
        log.note("from", b.recv_from(&mut buf).map(|(n, from)| (n, from.is_unnamed())));
        log.note("zero", b.set_read_timeout(Some(Duration::ZERO)));
        log.note("limit", b.set_read_timeout(Some(ms(20))));
        log.note("late", b.recv(&mut buf));
        log.note("late from", b.recv_from(&mut buf).map(drop));
        log.note("get", b.try_clone().unwrap().read_timeout());
        log.note("limit", a.set_write_timeout(Some(ms(20))));
        let full = loop {
            match a.send(&[0; 1_000]) {
                Ok(_) => {}
                full => break full,
            }
        };
        log.note("full", full);
        log.note("mode", a.set_nonblocking(true));
        log.note("full", a.send(&[0; 1_000]));
        log.note("write side", b.shutdown(Shutdown::Write));
        log.note("no more", b.send(b"x"));
        let clone = b.try_clone().unwrap();
        while let Ok(1..) = { b.set_nonblocking(true).unwrap(); b.recv(&mut [0; 1_000]) } {}
        b.set_nonblocking(false).unwrap();
        b.set_read_timeout(None).unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            clone.shutdown(Shutdown::Read).unwrap();
        });
        log.note("a blocked receiver", b.recv(&mut buf));
        helper.join().unwrap();
        log.note("from", b.recv_from(&mut buf).map(|(n, from)| (n, from.is_unnamed())));
        log.note("take_error", b.take_error());
        drop(b);
        log.note("the other is gone", a.send(b"x"));
    }

    a_full_queue_makes_senders_wait |log| {
        let to = fresh_name();
        let receiver = UnixDatagram::bind_addr(&to).unwrap();
        let sender = UnixDatagram::unbound().unwrap();
        log.note("mode", sender.set_nonblocking(true));
        let full = loop {
            match sender.send_to_addr(b"x", &to) {
                Ok(_) => {}
                full => break full,
            }
        };
        log.note("full", full);
        log.note("mode", sender.set_nonblocking(false));
        log.note("limit", sender.set_write_timeout(Some(ms(30))));
        let begin = Instant::now();
        log.note("late", sender.send_to_addr(b"x", &to));
        log.note("waited", Ok(begin.elapsed() >= ms(26) && begin.elapsed() < ms(20_000)));
        log.note("limit", sender.set_write_timeout(None));
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            receiver.recv(&mut [0; 4]).unwrap();
            receiver
        });
        log.note("in time", sender.send_to_addr(b"y", &to));
        let receiver = helper.join().unwrap();
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&to).unwrap();
        connected.set_write_timeout(Some(ms(30))).unwrap();
        log.note("connected, late", connected.send(b"x"));
        connected.set_write_timeout(None).unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            receiver.recv(&mut [0; 4]).unwrap();
            receiver
        });
        log.note("connected, in time", connected.send(b"y"));
        let receiver = helper.join().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            drop(receiver);
        });
        log.note("until the receiver is gone", connected.send(b"y"));
        helper.join().unwrap();
    }

    a_full_backlog_makes_clients_wait |log| {
        let name = fresh_name();
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        let mut bytes = vec![0];
        bytes.extend_from_slice(name.as_abstract_name().unwrap());
        listener.bind(&SockAddr::unix(String::from_utf8(bytes).unwrap()).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let listener = UnixListener::from(OwnedFd::from(listener));
        let _first = UnixStream::connect_addr(&name).unwrap();
        let has_room = Arc::new(AtomicBool::new(false));
        let (until_waits, makes_room) = (until_caller_waits(), Arc::clone(&has_room));
        let helper = spawn(move || {
            until_waits();
            makes_room.store(true, Ordering::SeqCst);
            drop(listener.accept().unwrap());
            listener
        });
        log.note("a second client", UnixStream::connect_addr(&name).map(drop));
        log.note("waited for room", Ok(has_room.load(Ordering::SeqCst)));
        let listener = helper.join().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            drop(listener);
        });
        log.note("until the listener is gone", UnixStream::connect_addr(&name).map(drop));
        helper.join().unwrap();
    }

    reading_through_stds_traits |log| {
        let (a, b) = UnixStream::pair().unwrap();
        let writer = spawn(move || {
            let mut a = io::BufWriter::new(a);
            for i in 0..10_000 {
                writeln!(a, "line {i}").unwrap();
            }
            a.into_inner().unwrap()
        });
        let mut reader = BufReader::new(b);
        let mut line = String::new();
        for _ in 0..10_000 {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        log.note("last line", Ok(line.clone()));
        drop(writer.join().unwrap());
        log.note("end", reader.read_to_string(&mut line));
    }

    descriptions |log| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let folder = dir.path().to_str().unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        let client = UnixStream::connect(&path).unwrap();
        let (server, _) = listener.accept().unwrap();
        let datagram = UnixDatagram::unbound().unwrap();
        // std prints the type in which it keeps the descriptor.
        let plain = |text: String, fd: i32| {
            let text = text.replace(&format!("fd: {fd}"), "fd: N");
            text.replace("FileDesc(OwnedFd { fd: N })", "N").replace(folder, "FOLDER")
        };
        log.note("listener", Ok(plain(format!("{listener:?}"), listener.as_raw_fd())));
        log.note("client", Ok(plain(format!("{client:?}"), client.as_raw_fd())));
        log.note("server", Ok(plain(format!("{server:?}"), server.as_raw_fd())));
        log.note("datagram", Ok(plain(format!("{datagram:?}"), datagram.as_raw_fd())));
        log.note("incoming", Ok(listener.incoming().size_hint()));
    }
}
