//! Many tasklets and the network: each gets its own bytes, each is woken, and none loses a byte.

mod support;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlapped::net::{TcpListener, TcpStream, wait_readable, wait_writable};
use overlapped::port::PortChoice;
use overlapped::task::unblock;
use overlapped::time::{sleep, timeout};
use overlapped::{Config, JoinError, run, run_until, scope, spawn, yield_now};
use support::{ms, pair, rounds, wait_until, wait_until_others_wait, wait_until_waiting};

#[test]
fn each_connection_goes_to_exactly_one_of_the_tasklets_that_accept() {
    const EACH: usize = 50;
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let accepting: Vec<_> = (0..8)
            .map(|_| {
                let listener = listener.clone();
                spawn(move || {
                    let accept = |_| listener.accept().unwrap();
                    (0..EACH)
                        .map(accept)
                        .map(|(stream, from)| (stream, from.port()))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        yield_now();
        let clients: Vec<_> =
            (0..8 * EACH).map(|_| spawn(move || TcpStream::connect(addr).unwrap())).collect();
        let clients: Vec<_> = clients.into_iter().map(|client| client.join().unwrap()).collect();
        let mut accepted = HashSet::new();
        for (_, port) in accepting.into_iter().flat_map(|tasklet| tasklet.join().unwrap()) {
            assert!(accepted.insert(port), "accepted twice");
        }
        let sent: HashSet<u16> = clients.iter().map(|c| c.local_addr().unwrap().port()).collect();
        assert_eq!(accepted, sent);
    })
    .unwrap();
}

#[test]
fn each_byte_goes_to_exactly_one_of_the_tasklets_that_read() {
    const BYTES: usize = 200_000;
    run(|| {
        let (mut tx, rx) = pair();
        let rx = Rc::new(rx);
        let counts = Rc::new(RefCell::new([0usize; 256]));
        let readers: Vec<_> = (0..8)
            .map(|i| {
                let (rx, counts) = (rx.clone(), counts.clone());
                spawn(move || {
                    let mut buf = vec![0; 1 + 7 * i];
                    while let n @ 1.. = (&*rx).read(&mut buf).unwrap() {
                        buf[..n].iter().for_each(|&byte| counts.borrow_mut()[byte as usize] += 1);
                    }
                })
            })
            .collect();
        let bytes: Vec<u8> = (0..BYTES).map(|i| (i % 256) as u8).collect();
        for chunk in bytes.chunks(997) {
            tx.write_all(chunk).unwrap();
            yield_now();
        }
        drop(tx);
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        let mut expected = [0; 256];
        bytes.iter().for_each(|&byte| expected[byte as usize] += 1);
        assert_eq!(*counts.borrow(), expected);
    })
    .unwrap();
}

#[test]
fn a_read_timeout_loses_no_byte() {
    let rounds = rounds(1_500, 10_000);
    run(|| {
        let (mut tx, mut rx) = pair();
        let late = Rc::new(Cell::new(0));
        let writer = spawn(move || {
            for i in 0..rounds {
                sleep(Duration::from_micros(50 + (i as u64 * 37) % 350));
                tx.write_all(&(i as u32).to_le_bytes()).unwrap();
            }
        });
        rx.set_read_timeout(Some(Duration::from_micros(200))).unwrap();
        let mut seen = Vec::new();
        while seen.len() < rounds * 4 {
            let mut buf = [0; 64];
            match rx.read(&mut buf) {
                Ok(0) => break,
                Ok(n) => seen.extend_from_slice(&buf[..n]),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::WouldBlock);
                    late.set(late.get() + 1);
                }
            }
        }
        writer.join().unwrap();
        let expected: Vec<u8> = (0..rounds as u32).flat_map(u32::to_le_bytes).collect();
        assert_eq!(seen, expected);
        assert!(late.get() > rounds / 20, "not tested: only {} reads were late", late.get());
    })
    .unwrap();
}

#[test]
fn a_deadline_ends_every_call_with_timed_out() {
    run(|| {
        let (mut tx, rx) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let chunk = vec![0; 1 << 20];
        let mut fill = || loop {
            match timeout(ms(20), || tx.write(&chunk)) {
                Ok(_) => {}
                Err(error) => return Err::<(), _>(error),
            }
        };
        let calls: [(&str, &mut dyn FnMut() -> io::Result<()>); 6] = [
            ("read", &mut || (&rx).read_exact(&mut vec![0; 1 << 27])),
            ("accept", &mut || listener.accept().map(drop)),
            ("incoming", &mut || listener.incoming().next().unwrap().map(drop)),
            ("readable", &mut || wait_readable(&listener)),
            ("write", &mut fill),
            ("unblock", &mut || {
                unblock(|| std::thread::sleep(ms(1_000))).map_err(|_| ErrorKind::TimedOut.into())
            }),
        ];
        for (name, call) in calls {
            let begin = Instant::now();
            let error = timeout(ms(20), call).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut, "{name}");
            assert!(
                begin.elapsed() >= ms(20) && begin.elapsed() < support::within(ms(500)),
                "{name}"
            );
            assert_eq!(
                timeout(Duration::ZERO, || listener.accept()).unwrap_err().kind(),
                ErrorKind::TimedOut
            );
        }
    })
    .unwrap();
}

#[test]
fn readiness_of_foreign_descriptors_can_be_waited_for() {
    run(|| {
        let (rx, mut tx) = io::pipe().unwrap();
        let waiters: Vec<_> = (0..3)
            .map(|_| {
                let rx = rx.try_clone().unwrap();
                spawn(move || wait_readable(rx).unwrap())
            })
            .collect();
        wait_writable(&tx).unwrap();
        yield_now();
        assert!(waiters.iter().all(|waiter| !waiter.is_finished()));
        tx.write_all(b"x").unwrap();
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        let end = spawn({
            let mut rx = rx.try_clone().unwrap();
            move || {
                rx.read_exact(&mut [0]).unwrap();
                wait_readable(&rx).unwrap();
                rx.read(&mut [0]).unwrap()
            }
        });
        wait_until_waiting(1, "readable on");
        drop(tx);
        assert_eq!(end.join().unwrap(), 0, "the end of a pipe is readable");
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        wait_readable(&file).unwrap();
        let (stream, peer) = pair();
        wait_writable(&stream).unwrap();
        let reader = spawn(move || wait_readable(&stream).map(|()| stream));
        wait_until_waiting(1, "readable on");
        drop(peer);
        assert_eq!((&reader.join().unwrap().unwrap()).read(&mut [0]).unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn shutdown_wakes_every_blocked_reader_and_writer() {
    run(|| {
        let (stream, _peer) = pair();
        let stream = Rc::new(stream);
        let readers: Vec<_> = (0..4)
            .map(|_| {
                let stream = stream.clone();
                spawn(move || (&*stream).read(&mut [0; 8]).unwrap())
            })
            .collect();
        let writer = spawn({
            let stream = stream.clone();
            move || (&*stream).write_all(&vec![0; 1 << 26]).unwrap_err().kind()
        });
        wait_until_others_wait();
        stream.shutdown(Shutdown::Both).unwrap();
        for reader in readers {
            assert_eq!(reader.join().unwrap(), 0);
        }
        assert_eq!(writer.join().unwrap(), ErrorKind::BrokenPipe);
    })
    .unwrap();
}

#[test]
fn a_thousand_connections_at_once_are_echoed() {
    run_until(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let hold = Rc::new(Cell::new(0));
        spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                spawn(move || io::copy(&mut &stream, &mut &stream).unwrap());
            }
        });
        scope(|s| {
            for i in 0..1_000u32 {
                let hold = &hold;
                s.spawn(move || {
                    let mut stream = TcpStream::connect(addr).unwrap();
                    hold.set(hold.get() + 1);
                    wait_until("all are connected", || hold.get() >= 1_000);
                    let mut buf = [0; 4];
                    for round in 0..5 {
                        stream.write_all(&(i + round).to_le_bytes()).unwrap();
                        stream.read_exact(&mut buf).unwrap();
                        assert_eq!(u32::from_le_bytes(buf), i + round);
                    }
                });
            }
        });
    })
    .unwrap();
}

#[test]
fn a_kill_during_any_call_loses_no_connection_and_no_byte() {
    let rounds = rounds(150, 2_000);
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let (mut outcomes, mut bytes) = ([0; 2], 0u64);
        for round in 0..rounds {
            let accepting = spawn({
                let listener = listener.clone();
                move || listener.accept().unwrap().0
            });
            let connecting = spawn(move || TcpStream::connect(addr).unwrap());
            for _ in 0..round % 5 {
                yield_now();
            }
            accepting.kill();
            let client = connecting.join().unwrap();
            let mut server = match accepting.join() {
                Ok(stream) => stream,
                // The connection was not taken, so it is still in the queue.
                Err(JoinError::Killed) => timeout(ms(2_000), || listener.accept()).unwrap().0,
                Err(error) => panic!("{error}"),
            };
            // On a busy machine, the connection of the last round's killed connect comes late.
            let ours = client.local_addr().unwrap();
            while server.peer_addr().ok() != Some(ours) {
                server = timeout(ms(2_000), || listener.accept()).unwrap().0;
            }
            let sent = Rc::new(Cell::new(0));
            let writing = spawn({
                let sent = sent.clone();
                move || loop {
                    let n = (&client).write(&[7; 70_000]).unwrap();
                    sent.set(sent.get() + n);
                }
            });
            sleep(Duration::from_micros(round as u64 % 400));
            writing.kill();
            let mut buf = vec![0; 1 << 16];
            let mut seen = 0;
            while let n @ 1.. = server.read(&mut buf).unwrap() {
                seen += n;
            }
            let killed = matches!(writing.join(), Err(JoinError::Killed));
            assert!(killed);
            assert_eq!(seen, sent.get(), "the count that the writer got is what has arrived");
            bytes += seen as u64;
            outcomes[usize::from(seen > 0)] += 1;
            let connecting = spawn(move || TcpStream::connect(addr).map(drop));
            yield_now();
            connecting.kill();
            let _ = connecting.join();
            while timeout(ms(1), || listener.accept()).is_ok() {}
        }
        assert!(bytes > 0 && outcomes[1] > 0, "not tested: {outcomes:?}");
    })
    .unwrap();
}

#[test]
fn the_limit_on_operations_is_an_error_value() {
    let done = Config::new().operations_max(2).run(|| {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let two: Vec<_> = (0..2)
            .map(|_| {
                let listener = listener.clone();
                spawn(move || listener.accept().map(drop))
            })
            .collect();
        yield_now();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::QuotaExceeded);
        two.iter().for_each(|tasklet| tasklet.kill());
        wait_until("both have ended", || two.iter().all(|tasklet| tasklet.is_finished()));
        assert_eq!(timeout(ms(5), || listener.accept()).unwrap_err().kind(), ErrorKind::TimedOut);
    });
    done.unwrap();
}

#[test]
fn killing_one_of_several_waiters_leaves_the_others_their_turn() {
    for victim in 0..4 {
        run(|| {
            let (mut tx, rx) = pair();
            let rx = Rc::new(rx);
            let (full_tx, mut full_rx) = pair();
            let full_tx = Rc::new(full_tx);
            let readers: Vec<_> = (0..4)
                .map(|_| {
                    let rx = rx.clone();
                    spawn(move || (&*rx).read(&mut [0; 1]).unwrap())
                })
                .collect();
            let writers: Vec<_> = (0..4)
                .map(|_| {
                    let tx = full_tx.clone();
                    spawn(move || (&*tx).write_all(&[1; 1 << 23]).unwrap())
                })
                .collect();
            wait_until_others_wait();
            readers[victim].kill();
            writers[victim].kill();
            let is_over = || readers[victim].is_finished() && writers[victim].is_finished();
            wait_until("both have ended", is_over);
            tx.write_all(&[7; 3]).unwrap();
            let ends: Vec<_> = readers.into_iter().map(|reader| reader.join().ok()).collect();
            let expected: Vec<_> = (0..4).map(|i| (i != victim).then_some(1)).collect();
            assert_eq!(ends, expected);
            drop((tx, full_tx));
            let received = timeout(Duration::from_secs(20), || {
                std::io::copy(&mut full_rx, &mut std::io::sink()).unwrap()
            });
            assert!(received >= 3 << 23, "{received}");
            for (i, writer) in writers.into_iter().enumerate() {
                assert_eq!(writer.join().is_ok(), i != victim);
            }
        })
        .unwrap();
    }
}

#[test]
fn a_connect_without_an_answer_can_be_killed_and_timed_out() {
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    listener.bind(&"127.0.0.1:0".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    run(|| {
        let connecting: Vec<_> = (0..20).map(|_| spawn(move || TcpStream::connect(addr))).collect();
        wait_until_others_wait();
        let waiting = connecting.iter().filter(|tasklet| !tasklet.is_finished()).count();
        assert!(waiting > 0, "not tested: all of them were answered");
        let begin = Instant::now();
        connecting.iter().for_each(|tasklet| tasklet.kill());
        let killed = connecting.into_iter().map(|tasklet| tasklet.join());
        assert_eq!(killed.filter(|end| matches!(end, Err(JoinError::Killed))).count(), waiting);
        let late = timeout(ms(20), || TcpStream::connect(addr)).unwrap_err();
        assert_eq!(late.kind(), ErrorKind::TimedOut);
        assert!(begin.elapsed() < support::within(ms(500)));
    })
    .unwrap();
}

#[test]
fn receives_are_killed_before_the_port_has_looked_at_them() {
    let killed = || {
        let connections: Vec<_> = (0..40).map(|_| pair()).collect();
        // After this many receives in vain, the readiness backend does not try receives at once any
        // more.
        for _ in 0..3 {
            let readers: Vec<_> = connections
                .iter()
                .map(|(near, _)| {
                    let near = near.try_clone().unwrap();
                    spawn(move || (&near).read(&mut [0; 8]).map(drop))
                })
                .collect();
            // These switches are too few for the scheduler to poll.
            yield_now();
            readers.iter().for_each(|reader| reader.kill());
            for reader in readers {
                assert!(reader.join().is_err());
            }
        }
        // No killed operation takes the bytes that come now.
        for (near, far) in &connections {
            (&*far).write_all(b"here").unwrap();
            let mut bytes = [0; 4];
            (&*near).read_exact(&mut bytes).unwrap();
            assert_eq!(&bytes, b"here");
        }
    };
    run(killed).unwrap();
    Config::new().port(PortChoice::Poll).run(killed).unwrap();
}
