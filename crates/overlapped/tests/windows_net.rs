//! Sockets on Windows: several waiters of one socket, ends with linger, waits without sockets.
#![cfg(windows)]

use std::io::{Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::net::{TcpListener, TcpStream};
use overlapped::{Channel, run, spawn, yield_now};

#[test]
fn two_tasklets_accept_from_one_listener() {
    run(|| {
        let listener = Rc::new(TcpListener::bind("127.0.0.1:0").unwrap());
        let addr = listener.local_addr().unwrap();
        let accepts: Vec<_> = (0..3)
            .map(|_| {
                let listener = Rc::clone(&listener);
                spawn(move || listener.accept().map(drop))
            })
            .collect();
        yield_now();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(TcpStream::connect(addr).unwrap());
            overlapped::time::sleep(Duration::from_millis(20));
        }
        for (at, accept) in accepts.into_iter().enumerate() {
            println!("{at}");
            overlapped::time::timeout(Duration::from_secs(10), || accept.join()).unwrap().unwrap();
        }
    })
    .unwrap();
}

#[test]
fn two_tasklets_read_from_one_stream() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tx = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let rx = Rc::new(listener.accept().unwrap().0);
        let readers: Vec<_> = (0..2)
            .map(|_| {
                let rx = Rc::clone(&rx);
                spawn(move || (&*rx).read(&mut [0]).unwrap())
            })
            .collect();
        yield_now();
        for _ in 0..2 {
            tx.write_all(b"x").unwrap();
            overlapped::time::sleep(Duration::from_millis(20));
        }
        assert_eq!(readers.into_iter().map(|reader| reader.join().unwrap()).sum::<usize>(), 2);
    })
    .unwrap();
}

#[test]
fn a_socket_with_linger_sends_its_end() {
    run(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut tx = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let mut rx = listener.accept().unwrap().0;
        tx.set_linger(Some(Duration::from_secs(5))).unwrap();
        tx.write_all(b"all").unwrap();
        drop(tx);
        let mut text = String::new();
        rx.read_to_string(&mut text).unwrap();
        assert_eq!(text, "all");
    })
    .unwrap();
}

#[test]
fn a_select_without_sockets_ends_at_its_time_outside_a_scheduler() {
    let channel: Channel<u8> = Channel::new();
    let begin = Instant::now();
    let chosen = overlapped::Select::new()
        .recv(&channel, |_| "received")
        .after(Duration::from_millis(50), || "late")
        .wait();
    assert_eq!(chosen.ok(), Some("late"));
    assert!(begin.elapsed() >= Duration::from_millis(50));
}
