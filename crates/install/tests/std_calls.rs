//! Calls of std: each blocks its tasklet alone.
#![allow(missing_docs)]
mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use overlapped_install::{run, scope, spawn};
use support::{ms, overlap};

#[test]
fn twenty_sleeps_take_as_long_as_one() {
    overlap(|_| std::thread::sleep(ms(100)));
}

#[test]
fn clients_and_servers_of_one_thread_serve_each_other() {
    support::run_in_tasklet(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        scope(|s| {
            s.spawn(|| {
                for stream in listener.incoming().take(40) {
                    let mut stream = stream.unwrap();
                    spawn(move || {
                        let mut request = [0; 4];
                        stream.read_exact(&mut request).unwrap();
                        std::thread::sleep(ms(20));
                        stream.write_all(&request).unwrap();
                    });
                }
            });
            for number in 0..40 {
                s.spawn(move || {
                    let mut stream = match number % 2 {
                        0 => TcpStream::connect(address).unwrap(),
                        _ => TcpStream::connect_timeout(&address, Duration::from_secs(30)).unwrap(),
                    };
                    stream.write_all(b"ping").unwrap();
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).unwrap();
                    assert_eq!(answer, "ping");
                });
            }
        });
    });
}

#[test]
fn unix_sockets_overlap() {
    support::run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..20 {
                let (mut a, mut b) = UnixStream::pair().unwrap();
                s.spawn(move || {
                    let mut bytes = vec![0; 1 << 20];
                    b.read_exact(&mut bytes).unwrap();
                    assert!(bytes.iter().all(|byte| *byte == 7));
                });
                // One call writes more than the socket holds.
                s.spawn(move || assert_eq!(a.write(&vec![7; 1 << 20]).unwrap(), 1 << 20));
            }
        });
    });
}

#[test]
fn several_buffers_are_written_as_one() {
    support::run_in_tasklet(|| {
        let (mut a, mut b) = UnixStream::pair().unwrap();
        let writer = spawn(move || {
            let parts = [vec![1; 300_000], vec![2; 1], vec![3; 500_000]];
            let slices = parts.each_ref().map(|part| std::io::IoSlice::new(part));
            a.write_vectored(&slices).unwrap()
        });
        let mut bytes = Vec::new();
        b.read_to_end(&mut bytes).unwrap();
        assert_eq!(writer.join().unwrap(), 800_001);
        assert_eq!(bytes.len(), 800_001);
        assert_eq!((bytes[299_999], bytes[300_000], bytes[300_001]), (1, 2, 3));
    });
}

#[test]
fn pipes_overlap() {
    support::run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..20 {
                let (mut rx, mut tx) = std::io::pipe().unwrap();
                s.spawn(move || {
                    let mut all = Vec::new();
                    assert_eq!(rx.read_to_end(&mut all).unwrap(), 200_000);
                });
                s.spawn(move || assert_eq!(tx.write(&vec![1; 200_000]).unwrap(), 200_000));
            }
        });
    });
}

#[test]
fn a_sockets_own_limit_ends_a_call_with_eagain() {
    overlap(|_| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(ms(100))).unwrap();
        let error = socket.recv(&mut [0; 9]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EAGAIN));
    });
}

#[test]
fn a_nonblocking_socket_returns_eagain_at_once() {
    support::run_in_tasklet(|| {
        let (a, mut b) = UnixStream::pair().unwrap();
        b.set_nonblocking(true).unwrap();
        // A wait would never end. The call may let other tasklets run.
        support::ticks(|| {
            let error = b.read(&mut [0]).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
            let wrote = (0..).map(|_| b.write(&[0; 65536])).take_while(Result::is_ok).count();
            assert!(wrote > 0);
        });
        drop(a);
    });
}

#[test]
fn the_flags_of_a_socket_stay_as_they_are_while_it_connects() {
    support::run_in_tasklet(|| {
        use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
        // The listener's queue is full, so the connection stays pending.
        // SAFETY: a new socket, bound to no name of ours.
        let socket = |flags| unsafe {
            let fd = libc::socket(libc::AF_INET, libc::SOCK_STREAM | flags, 0);
            assert!(fd >= 0);
            OwnedFd::from_raw_fd(fd)
        };
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // SAFETY: listens once more, with a shorter queue.
        unsafe { libc::listen(listener.as_raw_fd(), 0) };
        let address = listener.local_addr().unwrap();
        let fill: Vec<_> = (0..4).map(|_| socket(libc::SOCK_NONBLOCK)).collect();
        fill.iter().for_each(|fd| drop(support::connect(fd, address)));
        let waiting = std::rc::Rc::new(socket(0));
        let theirs = waiting.clone();
        let connecting = spawn(move || support::connect(&theirs, address));
        for _ in 0..20 {
            std::thread::sleep(ms(1));
            // SAFETY: reads flags.
            let flags = unsafe { libc::fcntl(waiting.as_raw_fd(), libc::F_GETFL) };
            assert_eq!(flags & libc::O_NONBLOCK, 0);
        }
        connecting.kill();
        let error = connecting.join().unwrap().unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ECANCELED));
    });
}

#[test]
fn children_overlap() {
    overlap(|_| assert!(support::sleep_program("0.1").status().unwrap().success()));
    overlap(|_| {
        let mut shell = std::process::Command::new("sh");
        let output = shell.args(["-c", "sleep 0.1; echo hi"]).output().unwrap();
        assert_eq!(output.stdout, b"hi\n");
    });
}

#[test]
fn joins_of_threads_overlap() {
    overlap(|_| std::thread::spawn(|| std::thread::sleep(ms(100))).join().unwrap());
}

#[test]
fn run_returns_the_result_and_panics_as_its_closure_does() {
    support::install();
    assert_eq!(run(|| 7).unwrap(), 7);
    let panicked = std::panic::catch_unwind(|| run(|| panic!("seven")));
    assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"seven"));
}

/// Each tasklet's spawn place is the program's line, not a line of this crate.
#[test]
fn run_names_the_line_of_its_caller() {
    use overlapped_install::place;

    support::install();
    let spawned_at = || {
        let dump = overlapped::task::dump().to_string();
        let lines = dump.lines().filter(|line| line.contains("spawned at"));
        assert!(lines.count() > 0 && !dump.contains("src/spawn.rs"), "{dump}");
        assert!(dump.contains("std_calls.rs"), "{dump}");
    };
    run(spawned_at).unwrap();
    run(move || place(spawned_at).join().unwrap()).unwrap();
}
