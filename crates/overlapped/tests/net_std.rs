//! Every call on `TcpListener` and `TcpStream` returns what std's returns. `against_std` compares
//! them.

#[macro_use]
mod against_std;
mod support;

use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use against_std::system::{OwnedSocket, number};
use against_std::{Log, ms, until_arrived, until_bytes};
use socket2::{Domain, SockRef, Socket, Type};

fn any_v4() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// A TCP socket that is neither connected nor listening.
fn bare() -> OwnedSocket {
    Socket::new(Domain::IPV4, Type::STREAM, None).unwrap().into()
}

/// A listener that takes no further connection: clients wait in SYN_SENT.
fn full_listener() -> (Socket, SocketAddr, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener.bind(&any_v4().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let fillers = (0..4).map(|_| {
        let filler = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        filler.set_nonblocking(true).unwrap();
        let _ = filler.connect(&addr);
        filler
    });
    let fillers = fillers.collect();
    (listener, addr.as_socket().unwrap(), fillers)
}

scenarios! {
    with {
        use net::{TcpListener, TcpStream};

        /// Two ends of one connection.
        fn pair() -> (TcpStream, TcpStream) {
            let listener = TcpListener::bind(any_v4()).unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (client, listener.accept().unwrap().0)
        }
    }

    binding_and_names |log| {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = first.local_addr().unwrap();
        log.note("in use", TcpListener::bind(addr).map(drop));
        log.note("the second is free", TcpListener::bind(&[addr, any_v4()][..]).map(drop));
        log.note("nothing to bind", TcpListener::bind(&[][..]).map(drop));
        log.note("no port", TcpListener::bind("127.0.0.1").map(drop));
        log.note("bad port", TcpListener::bind("127.0.0.1:x").map(drop));
        log.note("not ours", TcpListener::bind("192.0.2.1:0").map(drop));
        log.note("by name", TcpListener::bind("localhost:0").map(drop));
        log.note("by pair", TcpListener::bind(("localhost", 0)).map(drop));
        log.note("by string", TcpListener::bind(("127.0.0.1".to_owned(), 0)).map(drop));
        log.note("unknown name", TcpListener::bind("no-such-name.invalid:1").map(drop));
        log.note("take_error", first.take_error());
        log.note("clone's address", Ok(first.try_clone().unwrap().local_addr().unwrap() == addr));
    }

    connecting |log| {
        let addr = TcpListener::bind(any_v4()).unwrap().local_addr().unwrap();
        log.note("refused", TcpStream::connect(addr).map(drop));
        log.note("refused in time", TcpStream::connect_timeout(&addr, ms(500)).map(drop));
        log.note("no time", TcpStream::connect_timeout(&addr, Duration::ZERO).map(drop));
        log.note("nowhere", TcpStream::connect(&[][..]).map(drop));
        log.note("port 0", TcpStream::connect("127.0.0.1:0").map(drop));
        log.note("broadcast", TcpStream::connect("255.255.255.255:9").map(drop));
        let listener = TcpListener::bind(any_v4()).unwrap();
        let good = listener.local_addr().unwrap();
        log.note("the second answers", TcpStream::connect(&[addr, good][..]).map(drop));
        log.note("in time", TcpStream::connect_timeout(&good, ms(500)).map(drop));
        let (_full, full_addr, _fillers) = full_listener();
        log.note("too slow", TcpStream::connect_timeout(&full_addr, ms(60)).map(drop));
        let short = Duration::from_nanos(1);
        log.note("at once too slow", TcpStream::connect_timeout(&full_addr, short).map(drop));
    }

    both_families |log| {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(text).unwrap();
            let addr = listener.local_addr().unwrap();
            let mut client = TcpStream::connect(addr).unwrap();
            let (mut server, from) = listener.accept().unwrap();
            log.note("from", Ok(from == client.local_addr().unwrap()));
            log.note("peer", Ok(client.peer_addr().unwrap() == addr));
            log.note("peer's peer", Ok(server.peer_addr().unwrap() == from));
            log.note("write", client.write(b"hello"));
            let mut buf = [0; 16];
            log.note("read", server.read(&mut buf));
            log.note("flush", client.flush());
            drop(client);
            log.note("end", server.read(&mut buf));
        }
    }

    options |log| {
        let (a, b) = pair();
        log.note("nodelay", a.nodelay());
        log.note("set", a.set_nodelay(true));
        log.note("nodelay", a.nodelay());
        log.note("set ttl", a.set_ttl(42));
        log.note("ttl", a.ttl());
        log.note("other's ttl", b.ttl());
        log.note("bad ttl", a.set_ttl(70_000));
        log.note("take_error", a.take_error());
        let listener = TcpListener::bind("[::1]:0").unwrap();
        log.note("listener's ttl", listener.set_ttl(43));
        log.note("listener's ttl", listener.ttl());
    }

    time_limits |log| {
        let (mut a, mut b) = pair();
        log.note("zero", a.set_read_timeout(Some(Duration::ZERO)));
        log.note("zero", a.set_write_timeout(Some(Duration::ZERO)));
        log.note("none yet", a.read_timeout());
        log.note("set", a.set_read_timeout(Some(ms(40))));
        log.note("get", a.read_timeout());
        let clone = a.try_clone().unwrap();
        log.note("the clone's", clone.read_timeout());
        let mut buf = [0; 8];
        let begin = std::time::Instant::now();
        log.note("late", a.read(&mut buf));
        log.note("waited", Ok(begin.elapsed() >= ms(36) && begin.elapsed() < ms(20_000)));
        log.note("late peek", a.peek(&mut buf));
        log.note("late vectored", a.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
        log.note("the clone is late", (&clone).read(&mut buf));
        b.write_all(b"x").unwrap();
        log.note("in time", a.read(&mut buf));
        log.note("unset", clone.set_read_timeout(None));
        log.note("get", a.read_timeout());
        log.note("tiny", a.set_read_timeout(Some(Duration::from_nanos(1))));
        log.note("tiny and empty", a.read(&mut buf));
        b.write_all(b"there").unwrap();
        until_arrived(&a);
        log.note("tiny, but the bytes are there", a.read(&mut buf));
        log.note("endless", a.set_read_timeout(Some(Duration::MAX)));
        log.note("write limit", a.set_write_timeout(Some(ms(40))));
        let chunk = vec![0; 1 << 20];
        let full = loop {
            match a.write(&chunk) {
                Ok(_) => {}
                full => break full,
            }
        };
        log.note("without a reader", full);
        log.note("get", a.write_timeout());
    }

    shutting_down |log| {
        let (mut a, mut b) = pair();
        let mut buf = [0; 8];
        b.write_all(b"pending").unwrap();
        until_arrived(&a);
        log.note("read side", a.shutdown(Shutdown::Read));
        log.note("the bytes present", a.read(&mut buf));
        log.note("then the end", a.read(&mut buf));
        log.note("write side", a.shutdown(Shutdown::Write));
        log.note("no more", a.write(b"x"));
        log.note("nor vectored", a.write_vectored(&[IoSlice::new(b"x")]));
        log.note("nor nothing", a.write(b""));
        log.note("again", a.shutdown(Shutdown::Write));
        log.note("the other reads", b.read(&mut buf));
        log.note("both", b.shutdown(Shutdown::Both));
        log.note("both again", b.shutdown(Shutdown::Both));
        // On Windows a blocked receive of std's does not end.
        if cfg!(unix) {
            let (mut a, _b) = pair();
            let clone = a.try_clone().unwrap();
            let until_waits = until_caller_waits();
            let helper = spawn(move || {
                until_waits();
                clone.shutdown(Shutdown::Read).unwrap();
            });
            log.note("a blocked reader", a.read(&mut buf));
            helper.join().unwrap();
        } else {
            println!("SKIPPED: a shutdown under a receive, which std's does not notice here");
        }
    }

    a_reset_by_the_peer |log| {
        let (mut a, b) = pair();
        SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
        drop(b);
        until_arrived(&a);
        log.note("write", a.write(b"x"));
        log.note("write again", a.write(b"x"));
        log.note("read", a.read(&mut [0; 4]));
        log.note("peer_addr", a.peer_addr());
        let (mut a, b) = pair();
        SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || {
            until_waits();
            drop(b);
        });
        log.note("while reading", a.read(&mut [0; 4]));
        helper.join().unwrap();
        let (a, b) = pair();
        SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
        drop(b);
        until_arrived(&a);
        log.note("taken", a.take_error().map(|error| error.map(|error| error.kind())));
        log.note("once", a.take_error().map(|error| error.map(|error| error.kind())));
        log.note("then the end", (&a).read(&mut [0; 4]));
    }

    sockets_in_no_state |log| {
        let mut stream = TcpStream::from(bare());
        log.note("peer", stream.peer_addr());
        log.note("read", stream.read(&mut [0; 4]));
        log.note("peek", stream.peek(&mut [0; 4]));
        log.note("write", stream.write(b"x"));
        log.note("shutdown", stream.shutdown(Shutdown::Both));
        let listener = TcpListener::from(bare());
        log.note("accept", listener.accept().map(drop));
        #[cfg(windows)]
        println!("SKIPPED: a socket that is another file: a handle is never a socket here");
        #[cfg(unix)]
        {
            let null = std::fs::File::open("/dev/null").unwrap();
            let stream = TcpStream::from(OwnedSocket::from(null));
            log.note("read null", (&stream).read(&mut [0; 4]));
            log.note("null's address", stream.local_addr());
            log.note("null's ttl", stream.ttl());
        }
    }

    nonblocking_mode |log| {
        let listener = TcpListener::bind(any_v4()).unwrap();
        log.note("set", listener.set_nonblocking(true));
        log.note("no client", listener.accept().map(drop));
        log.note("no client incoming", listener.incoming().next().unwrap().map(drop));
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        until_arrived(&listener);
        let (mut server, _) = listener.accept().unwrap();
        let until_waits = until_caller_waits();
        let helper = spawn(move || { until_waits(); client.write_all(b"late").unwrap(); client });
        log.note("the accepted one waits", server.read(&mut [0; 8]));
        let mut client = helper.join().unwrap();
        let clone = client.try_clone().unwrap();
        log.note("set", clone.set_nonblocking(true));
        let mut buf = [0; 8];
        log.note("read", client.read(&mut buf));
        log.note("peek", client.peek(&mut buf));
        log.note("vectored", client.read_vectored(&mut [IoSliceMut::new(&mut buf)]));
        server.write_all(b"now").unwrap();
        until_arrived(&client);
        log.note("peek", client.peek(&mut buf));
        log.note("read", client.read(&mut buf));
        let chunk = vec![0; 1 << 20];
        let full = loop {
            match client.write(&chunk) {
                Ok(_) => {}
                full => break full,
            }
        };
        log.note("full", full);
        log.note("full vectored", client.write_vectored(&[IoSlice::new(&chunk)]));
        log.note("back", client.set_nonblocking(false));
        client.set_read_timeout(Some(ms(20))).unwrap();
        log.note("waits again", clone.peek(&mut buf));
    }

    vectored |log| {
        let (mut a, mut b) = pair();
        log.note("none", a.write_vectored(&[]));
        log.note("empty", a.write_vectored(&[IoSlice::new(b""), IoSlice::new(b"")]));
        // std waits for bytes on Windows; ours never does.
        if cfg!(unix) {
            log.note("read none", b.read_vectored(&mut []));
            log.note("read empty", b.read_vectored(&mut [IoSliceMut::new(&mut [])]));
        } else {
            println!("SKIPPED: receives without room, which wait in std here");
        }
        let some = [IoSlice::new(b"ab"), IoSlice::new(b""), IoSlice::new(b"cde")];
        log.note("some", a.write_vectored(&some));
        let (mut one, mut two) = ([0; 3], [0; 3]);
        let mut both = [IoSliceMut::new(&mut one), IoSliceMut::new(&mut two)];
        log.note("read", b.read_vectored(&mut both));
        log.note("what", Ok((one, two)));
        let many: Vec<IoSlice<'_>> = (0..2_000).map(|_| IoSlice::new(b"z")).collect();
        log.note("2,000 slices", a.write_vectored(&many));
        log.note("then", a.write_all(&[b'y'; 976]));
        let mut bytes = vec![0; 2_000];
        let mut slices: Vec<IoSliceMut<'_>> = bytes.chunks_mut(1).map(IoSliceMut::new).collect();
        until_bytes(&b, 2_000);
        log.note("into 2,000", b.read_vectored(&mut slices));
        log.note("rest", b.read_exact(&mut bytes[..976]));
        log.note("empty buffer, empty write", a.write(b""));
        a.write_all(b"q").unwrap();
        until_arrived(&b);
        log.note("empty buffer, bytes there", b.read(&mut []));
        log.note("still there", b.read(&mut [0; 4]));
    }

    peeking_and_urgent_data |log| {
        let (mut a, mut b) = pair();
        let mut buf = [0; 8];
        a.write_all(b"abc").unwrap();
        until_arrived(&b);
        log.note("peek", b.peek(&mut buf[..2]));
        log.note("peek", b.peek(&mut buf));
        log.note("read", b.read(&mut buf));
        SockRef::from(&a).send_out_of_band(b"!").unwrap();
        a.write_all(b"def").unwrap();
        until_arrived(&b);
        log.note("around the urgent byte", b.read(&mut buf));
        log.note("what", Ok(buf));
        b.set_read_timeout(Some(ms(30))).unwrap();
        log.note("no more", b.read(&mut buf));
    }

    reading_through_stds_traits |log| {
        let (a, b) = pair();
        let writer = spawn(move || {
            let mut a = io::BufWriter::new(a);
            for i in 0..1_000 {
                writeln!(a, "line {i}").unwrap();
            }
            a.into_inner().unwrap()
        });
        let mut reader = BufReader::new(b);
        let mut line = String::new();
        for _ in 0..1_000 {
            line.clear();
            reader.read_line(&mut line).unwrap();
        }
        log.note("last line", Ok(line.clone()));
        drop(writer.join().unwrap());
        log.note("end", reader.read_exact(&mut [0; 4]));
        log.note("end", reader.read_to_string(&mut line));
    }

    descriptions |log| {
        let (a, b) = pair();
        let listener = TcpListener::bind("[::1]:0").unwrap();
        let ends = [a.local_addr().unwrap(), a.peer_addr().unwrap()];
        let plain = |text: String, numbers: &[String]| {
            numbers.iter().fold(text, |text, number| text.replace(number, "N"))
        };
        let numbers = [ends[0].to_string(), ends[1].to_string(), number(&a)];
        log.note("stream", Ok(plain(format!("{a:?}"), &numbers)));
        let numbers = [listener.local_addr().unwrap().to_string(), number(&listener)];
        log.note("listener", Ok(plain(format!("{listener:?}"), &numbers)));
        SockRef::from(&b).set_linger(Some(Duration::ZERO)).unwrap();
        drop(b);
        until_arrived(&a);
        let numbers = [ends[0].to_string(), number(&a)];
        log.note("reset", Ok(plain(format!("{a:?}"), &numbers)));
    }
}
