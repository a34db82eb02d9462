//! The bugs of the socket module that this library descends from, each as a test.
//!
//! | bug | test |
//! |---|---|
//! | two datagrams to one address merged into one | in `datagrams.rs`: `two_datagrams_…` |
//! | `getaddrinfo` blocks all tasklets | in `net_stalls.rs`: `looking_up_a_name_…` |
//! | a completion is taken for that of an operation that had ended immediately | below |
//! | 50 ms polling | below |
//! | Ctrl-C kills the process while operations are pending | in `signals.rs`: `ctrl_c_is_…` |
//! | a socket closed by one tasklet leaves another blocked on it | below |
//! | state leaks to the next user of a descriptor's number | in `net_dangers.rs`: `p4_…` |

mod support;

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::rc::Rc;
use std::time::{Duration, Instant};

use overlapped::net::UdpSocket;
use overlapped::os::unix::net::UnixStream;
use overlapped::time::{sleep, timeout};
use overlapped::{run, spawn, yield_now};
use support::{ms, pair};

#[test]
fn an_operation_that_ends_at_once_has_no_effect_on_the_next_one() {
    run(|| {
        let (mut quick, mut quick_peer) = pair();
        let (mut slow, mut slow_peer) = UnixStream::pair().unwrap();
        let (mut shut, _shut_peer) = pair();
        shut.shutdown(std::net::Shutdown::Write).unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        // Answers each byte, some switches later.
        let echo = spawn(move || {
            let mut byte = [0];
            while slow_peer.read(&mut byte).unwrap() == 1 {
                (0..byte[0] % 3).for_each(|_| yield_now());
                slow_peer.write_all(&byte).unwrap();
            }
        });
        for round in 0..2_000u32 {
            let tag = round as u8;
            // Operations that end at once, with each result: bytes, an error, another count, 0
            // bytes.
            match round % 5 {
                0 => {
                    quick_peer.write_all(&[!tag; 7]).unwrap();
                    let mut buf = [0; 7];
                    quick.read_exact(&mut buf).unwrap();
                    assert_eq!(buf, [!tag; 7]);
                }
                1 => assert_eq!(shut.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe),
                2 => assert_eq!(socket.send_to(&[!tag; 33], to).unwrap(), 33),
                3 => {
                    socket.set_nonblocking(true).unwrap();
                    while socket.recv(&mut [0; 99]).is_ok() {}
                    socket.set_nonblocking(false).unwrap();
                }
                _ => {
                    let late = timeout(Duration::ZERO, || quick.read(&mut [0; 5]));
                    assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
                }
            }
            // The next one waits, and gets its own.
            slow.write_all(&[tag]).unwrap();
            let mut buf = [0; 3];
            assert_eq!(slow.read(&mut buf).unwrap(), 1, "round {round}");
            assert_eq!(buf, [tag, 0, 0], "round {round}");
        }
        drop(slow);
        echo.join().unwrap();
    })
    .unwrap();
}

/// Processor time and voluntary switches of this thread.
fn effort() -> (Duration, i64) {
    // SAFETY: rusage is a C struct of integers, valid when zeroed.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writes.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_THREAD, &mut usage) }, 0);
    let time = |time: libc::timeval| {
        Duration::from_secs(time.tv_sec as u64) + Duration::from_micros(time.tv_usec as u64)
    };
    (time(usage.ru_utime) + time(usage.ru_stime), usage.ru_nvcsw)
}

#[test]
fn bytes_are_seen_at_once_and_waiting_for_them_takes_no_time() {
    run(|| {
        let (tx, mut rx) = pair();
        let mut tx = std::net::TcpStream::from(tx);
        let (go, told) = std::sync::mpsc::channel::<()>();
        let writer = std::thread::spawn(move || {
            for () in told {
                tx.write_all(b"x").unwrap();
            }
            tx
        });
        // A round with a poll every 50 ms takes 25 ms of waiting on average.
        support::in_time(ms(1_000), || {
            let begin = Instant::now();
            for _ in 0..100 {
                go.send(()).unwrap();
                rx.read_exact(&mut [0]).unwrap();
            }
            begin.elapsed()
        });
        let readers: Vec<_> = (0..50)
            .map(|_| {
                let (tx, mut rx) = UnixStream::pair().unwrap();
                (spawn(move || rx.read(&mut [0])), tx)
            })
            .collect();
        support::wait_until_others_wait();
        // A loop that polls would poll in each of the rounds.
        support::in_time(ms(15), || {
            let before = effort();
            sleep(ms(300));
            let after = effort();
            let (time, wakes) = (after.0 - before.0, after.1 - before.1);
            assert!(wakes < 6, "a thread with nothing to do woke {wakes} times in 300 ms");
            time
        });
        drop(go);
        drop(writer.join().unwrap());
        for (reader, tx) in readers {
            drop(tx);
            assert_eq!(reader.join().unwrap().unwrap(), 0);
        }
    })
    .unwrap();
}

/// With std's types no tasklet can close a socket while another one uses it: a waiter borrows it or
/// owns a share, and the last owner closes it. `shutdown` ends the others' waits.
#[test]
fn a_socket_is_not_closed_under_a_waiter_and_shutdown_ends_the_wait() {
    run(|| {
        let (stream, mut peer) = pair();
        let shared = Rc::new(stream);
        let clone = shared.try_clone().unwrap();
        let firsts = Rc::new(Cell::new(0));
        let readers = [0; 2].map(|_| {
            let (shared, firsts) = (shared.clone(), firsts.clone());
            spawn(move || {
                let mut first = [0];
                (&*shared).read_exact(&mut first).unwrap();
                firsts.set(firsts.get() + 1);
                ((&*shared).read(&mut [0]).unwrap(), first[0])
            })
        });
        let counted = firsts.clone();
        let third = spawn(move || {
            let mut first = [0];
            (&clone).read_exact(&mut first).unwrap();
            counted.set(counted.get() + 1);
            ((&clone).read(&mut [0]).unwrap(), first[0])
        });
        yield_now();
        // One owner drops its share: the socket stays open for the others.
        let last = shared.try_clone().unwrap();
        drop(shared);
        peer.write_all(b"abc").unwrap();
        support::wait_until("each has its byte", || firsts.get() == 3);
        support::wait_until_others_wait();
        assert!(readers.iter().all(|reader| !reader.is_finished()) && !third.is_finished());
        last.shutdown(std::net::Shutdown::Both).unwrap();
        let mut seen: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
        seen.push(third.join().unwrap());
        seen.sort_unstable();
        assert_eq!(seen, [(0, b'a'), (0, b'b'), (0, b'c')]);
        assert_eq!(peer.read(&mut [0]).unwrap(), 0);
    })
    .unwrap();
}
