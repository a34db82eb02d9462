//! Datagrams in tasklets: boundaries, waiting, kills, many at one socket.

mod support;

use std::cell::Cell;
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::net::UdpSocket;
use overlapped::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use overlapped::task::no_switch;
use overlapped::time::{sleep, timeout};
use overlapped::{run, run_until, spawn, yield_now};
use support::ms;

fn bound() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

#[test]
fn two_datagrams_to_one_address_stay_two() {
    run(|| {
        let receiver = bound();
        let to = receiver.local_addr().unwrap();
        let sender = Rc::new(bound());
        for round in 0..200u32 {
            // Both sends are under way before the first one ends.
            let sends = [0u8, 1].map(|which| {
                let sender = sender.clone();
                spawn(move || {
                    let bytes = vec![which; 100 + round as usize];
                    assert_eq!(sender.send_to(&bytes, to).unwrap(), bytes.len());
                })
            });
            let mut seen = [0; 2];
            for _ in 0..2 {
                let mut buf = [9; 1_000];
                let (n, _) = receiver.recv_from(&mut buf).unwrap();
                assert_eq!(n, 100 + round as usize, "merged or truncated");
                assert!(buf[..n].iter().all(|&byte| byte == buf[0]), "mixed");
                seen[usize::from(buf[0])] += 1;
            }
            assert_eq!(seen, [1, 1]);
            sends.into_iter().for_each(|send| send.join().unwrap());
        }
        receiver.set_nonblocking(true).unwrap();
        assert_eq!(receiver.recv(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
    })
    .unwrap();
}

#[test]
fn many_tasklets_wait_at_one_socket_for_long_and_each_datagram_goes_to_one() {
    run_until(|| {
        const DATAGRAMS: u32 = 1_000;
        let receiver = Rc::new(bound());
        let to = receiver.local_addr().unwrap();
        let seen = Rc::new(Cell::new(0));
        for _ in 0..4 {
            let (receiver, seen) = (receiver.clone(), seen.clone());
            spawn(move || {
                loop {
                    let mut buf = [0; 4];
                    assert_eq!(receiver.recv_from(&mut buf).unwrap().0, 4);
                    assert_eq!(u32::from_le_bytes(buf), seen.get());
                    seen.set(seen.get() + 1);
                }
            });
        }
        let sender = bound();
        for i in 0..DATAGRAMS {
            sender.send_to(&i.to_le_bytes(), to).unwrap();
            // All tasklets wait again, because each datagram wakes all of them.
            let soon = |_| sleep(Duration::from_micros(10));
            support::wait_until_with(soon, "it is received", || seen.get() > i);
        }
    })
    .unwrap();
}

#[test]
fn a_waiter_that_always_comes_too_late_goes_on_waiting() {
    run(|| {
        let receiver = bound();
        let to = receiver.local_addr().unwrap();
        let waiting = receiver.try_clone().unwrap();
        let late = spawn(move || {
            let mut buf = [0; 8];
            let n = waiting.recv_from(&mut buf).unwrap().0;
            buf[..n].to_vec()
        });
        yield_now();
        let sender = bound();
        let thief = receiver.try_clone().unwrap();
        for _ in 0..500 {
            // In non-blocking mode both calls are made at once, before the waiting one is tried.
            sender.set_nonblocking(true).unwrap();
            sender.send_to(b"stolen", to).unwrap();
            thief.set_nonblocking(true).unwrap();
            // A busy machine delivers a datagram to itself a little later.
            let begin = Instant::now();
            let stolen = loop {
                match thief.recv(&mut [0; 8]) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        // A worker of the ring has received the datagram in that moment, before the
                        // competing call.
                        if begin.elapsed() > Duration::from_secs(2) {
                            assert_eq!(late.join().unwrap(), b"stolen");
                            return eprintln!("the waiter was first");
                        }
                        std::hint::spin_loop();
                    }
                    other => break other.unwrap(),
                }
            };
            assert_eq!(stolen, 6);
            thief.set_nonblocking(false).unwrap();
            sleep(Duration::from_micros(10));
        }
        sender.send_to(b"for you", to).unwrap();
        assert_eq!(late.join().unwrap(), b"for you");
    })
    .unwrap();
}

#[test]
fn a_kill_during_a_receive_loses_no_datagram() {
    run(|| {
        let receiver = Rc::new(bound());
        let to = receiver.local_addr().unwrap();
        let sender = bound();
        let seen = Rc::new(Cell::new(0u32));
        for i in 0..300u32 {
            let receive = spawn({
                let (receiver, seen) = (receiver.clone(), seen.clone());
                move || {
                    let mut buf = [0; 4];
                    receiver.recv_from(&mut buf).unwrap();
                    assert_eq!(u32::from_le_bytes(buf), seen.get());
                    seen.set(seen.get() + 1);
                }
            });
            yield_now();
            sender.send_to(&i.to_le_bytes(), to).unwrap();
            for _ in 0..i % 3 {
                yield_now();
            }
            receive.kill();
            let _ = receive.join();
            if seen.get() == i {
                let mut buf = [0; 4];
                timeout(ms(5_000), || receiver.recv_from(&mut buf)).unwrap();
                assert_eq!(u32::from_le_bytes(buf), i);
                seen.set(i + 1);
            }
        }
    })
    .unwrap();
}

/// Returns an abstract address that is not in use.
fn name(what: &str) -> SocketAddr {
    let name = format!("overlapped datagrams {} {what}", std::process::id());
    SocketAddr::from_abstract_name(name).unwrap()
}

/// A receiver whose queue is full.
fn full_receiver(what: &str) -> (UnixDatagram, SocketAddr) {
    let to = name(what);
    let receiver = UnixDatagram::bind_addr(&to).unwrap();
    let filler = UnixDatagram::unbound().unwrap();
    filler.set_nonblocking(true).unwrap();
    while filler.send_to_addr(b"x", &to).is_ok() {}
    (receiver, to)
}

/// A listener whose queue is full.
fn full_listener(what: &str) -> (UnixListener, SocketAddr, UnixStream) {
    let addr = name(what);
    let listener = UnixListener::bind_addr(&addr).unwrap();
    // A second call sets the length of the queue.
    socket2::SockRef::from(&listener).listen(0).unwrap();
    let first = UnixStream::connect_addr(&addr).unwrap();
    (listener, addr, first)
}

#[test]
fn a_sender_that_waits_for_a_full_queue_can_be_killed_and_timed_out() {
    run(|| {
        let (_receiver, to) = full_receiver("full");
        let (_listener, addr, _first) = full_listener("full listener");
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&to).unwrap();
        let connected = Rc::new(connected);
        type Call = Rc<dyn Fn() -> std::io::Result<()>>;
        let calls: [Call; 3] = [
            Rc::new({
                let to = to.clone();
                move || UnixDatagram::unbound()?.send_to_addr(b"y", &to).map(drop)
            }),
            Rc::new(move || connected.send(b"y").map(drop)),
            Rc::new(move || UnixStream::connect_addr(&addr).map(drop)),
        ];
        for call in calls {
            let error = timeout(ms(20), || call()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            let error = no_switch(|| call()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            let waiting = spawn({
                let call = call.clone();
                move || call()
            });
            support::wait_until_others_wait();
            assert!(!waiting.is_finished());
            waiting.kill();
            assert!(waiting.join().is_err());
        }
    })
    .unwrap();
}

#[test]
fn a_sender_that_waited_for_the_queue_of_its_receiver_sends_all_of_its_bytes() {
    run(|| {
        let (receiver, to) = full_receiver("waited");
        let senders = [false, true].map(|connects| {
            let to = to.clone();
            spawn(move || {
                let sender = UnixDatagram::unbound().unwrap();
                let bytes = vec![b'y'; 3_000];
                let sent = if connects {
                    sender.connect_addr(&to).unwrap();
                    sender.send(&bytes)
                } else {
                    sender.send_to_addr(&bytes, &to)
                };
                assert_eq!(sent.unwrap(), bytes.len());
            })
        });
        support::wait_until_others_wait();
        let (mut small, mut whole) = (0, 0);
        let mut buf = [0; 4_000];
        while whole < 2 {
            match timeout(ms(5_000), || receiver.recv(&mut buf)).unwrap() {
                1 => small += 1,
                n => {
                    assert_eq!(n, 3_000, "after {small} small ones");
                    whole += 1;
                }
            }
        }
        senders.into_iter().for_each(|sender| sender.join().unwrap());
    })
    .unwrap();
}

#[test]
fn a_sender_that_waits_for_a_full_queue_does_not_try_without_a_pause() {
    run(|| {
        let (receiver, to) = full_receiver("pauses");
        let connected = UnixDatagram::unbound().unwrap();
        connected.connect_addr(&to).unwrap();
        let sends: [Box<dyn FnOnce() -> std::io::Result<usize>>; 2] = [
            Box::new(move || connected.send(b"y")),
            Box::new(move || UnixDatagram::unbound()?.send_to_addr(b"y", &to)),
        ];
        for send in sends {
            let waiting = spawn(send);
            support::wait_until_others_wait();
            let operations = || overlapped::task::stats().unwrap().operations;
            let before = operations();
            sleep(ms(100));
            let tries = operations() - before;
            assert!(tries < 500, "{tries} tries in 100 ms");
            receiver.recv(&mut [0; 1]).unwrap();
            assert_eq!(waiting.join().unwrap().unwrap(), 1);
        }
    })
    .unwrap();
}

#[test]
fn a_socket_that_is_shut_down_wakes_its_receivers_and_acceptors() {
    run(|| {
        let (socket, _peer) = UnixDatagram::pair().unwrap();
        let socket = Rc::new(socket);
        let receivers = [0; 3].map(|_| {
            let socket = socket.clone();
            spawn(move || socket.recv_from(&mut [0; 4]).map(|(n, _)| n).unwrap())
        });
        let listener = Rc::new(UnixListener::bind_addr(&name("shut")).unwrap());
        let acceptors = [0; 3].map(|_| {
            let listener = listener.clone();
            spawn(move || listener.accept().map(drop).unwrap_err().kind())
        });
        support::wait_until_others_wait();
        socket.shutdown(std::net::Shutdown::Both).unwrap();
        socket2::SockRef::from(&*listener).shutdown(std::net::Shutdown::Both).unwrap();
        for receiver in receivers {
            assert_eq!(receiver.join().unwrap(), 0);
        }
        for acceptor in acceptors {
            assert_eq!(acceptor.join().unwrap(), ErrorKind::InvalidInput);
        }
        // Converted sockets behave the same.
        let socket = Rc::into_inner(socket).unwrap();
        let again = UnixDatagram::from(OwnedFd::from(socket));
        assert_eq!(again.recv(&mut [0; 4]).unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_killed_sender_of_many_datagrams_sends_complete_ones_only() {
    run_until(|| {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let ours = Rc::new(ours);
        for round in 0..50 {
            let sender = spawn({
                let ours = ours.clone();
                move || {
                    loop {
                        ours.send(&[7; 2_000]).unwrap();
                    }
                }
            });
            for _ in 0..round % 5 {
                yield_now();
            }
            sender.kill();
            let _ = sender.join();
            let mut buf = [0; 4_000];
            while let Ok(n) = timeout(ms(1), || theirs.recv(&mut buf)) {
                assert_eq!(n, 2_000);
            }
        }
    })
    .unwrap();
}
