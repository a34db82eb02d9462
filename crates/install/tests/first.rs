//! First looks.
#![allow(missing_docs)]
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

#[test]
fn twenty_sleeps_take_as_long_as_one() {
    overlapped_install::install();
    overlapped::run(|| {
        let begin = Instant::now();
        let all: Vec<_> = (0..20)
            .map(|_| overlapped_install::spawn(|| std::thread::sleep(Duration::from_millis(100))))
            .collect();
        all.into_iter().for_each(|t| t.join().unwrap());
        assert!(begin.elapsed() < Duration::from_millis(1000), "{:?}", begin.elapsed());
    })
    .unwrap();
}

#[test]
fn a_mutex_is_held_across_a_sleep() {
    overlapped_install::install();
    overlapped::run(|| {
        let count = std::sync::Arc::new(std::sync::Mutex::new(0));
        let all: Vec<_> = (0..20)
            .map(|_| {
                let count = count.clone();
                overlapped_install::spawn(move || {
                    let mut count = count.lock().unwrap();
                    let before = *count;
                    std::thread::sleep(Duration::from_millis(2));
                    *count = before + 1;
                })
            })
            .collect();
        all.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(*count.lock().unwrap(), 20);
    })
    .unwrap();
}

#[test]
fn sockets_overlap() {
    overlapped_install::install();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut request = [0; 4];
                stream.read_exact(&mut request).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                stream.write_all(&request).unwrap();
            });
        }
    });
    overlapped::run(|| {
        let begin = Instant::now();
        let all: Vec<_> = (0..20)
            .map(|_| {
                overlapped_install::spawn(move || {
                    let mut stream = TcpStream::connect(address).unwrap();
                    stream.write_all(b"ping").unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "ping");
                })
            })
            .collect();
        all.into_iter().for_each(|t| t.join().unwrap());
        assert!(begin.elapsed() < Duration::from_millis(1500), "{:?}", begin.elapsed());
    })
    .unwrap();
}
