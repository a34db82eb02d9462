//! Tests of full queues, many operations, a drop in the middle, and wake-ups.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use super::support::{Harness, PATIENCE, everywhere, everywhere_with, listener, pair};
use crate::driver::{Driver, PortChoice, PortConfig};
use crate::op::{Fs, Net, Op, Table};
use crate::sys::address::SocketAddrBuf;
use crate::sys::readiness::Interest;
use testkit::{alone, open_descriptors};

/// Returns `few` in everyday runs, `all` if OVERLAPPED_TORTURE is set.
pub(super) fn rounds(few: usize, all: usize) -> usize {
    if std::env::var_os("OVERLAPPED_TORTURE").is_some() { all } else { few }
}

fn overflows(harness: &Harness) -> u64 {
    match &harness.driver {
        Driver::Uring(uring) => uring.overflows(),
        Driver::Poll(_) => 0,
        #[cfg(miri)]
        Driver::Null(_) => 0,
    }
}

#[test]
fn p5_no_completion_is_lost_when_they_do_not_fit_into_the_ring() {
    let seen = std::cell::Cell::new(0);
    everywhere_with(8, 16, |harness| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut memory = vec![[0u8; 1]; 4_096];
        for place in &mut memory {
            let (fd, buf, len) = (reader.as_raw_fd(), place.as_mut_ptr(), 1);
            // SAFETY: `memory` and the pipe live until every operation's end.
            unsafe { harness.start(Op::Fs(Fs::Read { fd, buf, len, offset: None })) };
        }
        assert_eq!(harness.in_flight(), 4_096);
        writer.write_all(&[1; 4_096]).unwrap();
        let results = harness.end_all();
        assert_eq!(results.len(), 4_096);
        assert!(results.iter().all(|&result| result == 1), "{}", harness.kind);
        assert!(memory.iter().all(|place| *place == [1]));
        if harness.is_uring() {
            assert!(overflows(harness) >= 1, "{}: not tested, nothing overflowed", harness.kind);
            seen.set(seen.get() + overflows(harness));
        }
    });
    println!("RELIABILITY P5 4096 completions, none lost; overflows seen: {}", seen.get());
}

#[test]
fn p6_a_thousand_cancels_get_through_a_queue_of_eight() {
    everywhere_with(8, 16, |harness| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let mut memory = vec![[0u8; 1]; 1_000];
        let mut tokens = Vec::new();
        for place in &mut memory {
            let (fd, buf, len) = (reader.as_raw_fd(), place.as_mut_ptr(), 1);
            // SAFETY: `memory` and the pipe live until every operation's end.
            tokens.push(unsafe { harness.start(Op::Fs(Fs::Read { fd, buf, len, offset: None })) });
        }
        for token in tokens {
            harness.driver.cancel(token);
        }
        let results = harness.end_all();
        assert_eq!(results.len(), 1_000);
        assert!(results.iter().all(|&result| result == -libc::ECANCELED), "{}", harness.kind);
    });
    println!("RELIABILITY P6 1000 cancels through a queue of 8, all delivered");
}

/// One byte has made all operations ready, and ends only one of them, when the cancels come.
#[test]
fn a_cancel_is_not_lost_between_readiness_and_the_next_try() {
    everywhere_with(8, 16, |harness| {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut memory = vec![[0u8; 1]; 100];
        let mut tokens = Vec::new();
        for place in &mut memory {
            let (fd, buf, len) = (reader.as_raw_fd(), place.as_mut_ptr(), 1);
            // SAFETY: `memory` and the pipe live until every operation's end.
            tokens.push(unsafe { harness.start(Op::Fs(Fs::Read { fd, buf, len, offset: None })) });
        }
        assert!(harness.is_waiting(tokens[0]));
        writer.write_all(&[1]).unwrap();
        harness.turn(Duration::ZERO);
        for token in tokens {
            harness.driver.cancel(token);
        }
        let results = harness.end_all();
        assert_eq!(results.iter().filter(|&&result| result == 1).count(), 1, "{}", harness.kind);
        let cancelled = results.iter().filter(|&&result| result == -libc::ECANCELED).count();
        assert_eq!(cancelled, 99, "{}", harness.kind);
    });
}

/// P3, on the port's level.
#[test]
fn a_driver_that_is_dropped_in_the_middle_leaves_nothing_behind() {
    let name =
        "driver::tests::pressure::a_driver_that_is_dropped_in_the_middle_leaves_nothing_behind";
    alone(name, || {
        for choice in [PortChoice::Uring, PortChoice::Poll] {
            for _ in 0..rounds(2, 100) {
                let before = open_descriptors();
                leave_in_the_middle(choice);
                assert_eq!(open_descriptors(), before, "{choice:?}");
            }
        }
    });
}

fn leave_in_the_middle(choice: PortChoice) {
    let config = PortConfig { entries: 64, cq_entries: 128, ..PortConfig::new(choice) };
    let Ok(mut driver) = Driver::open(&config) else {
        eprintln!("SKIPPED: no {choice:?} here");
        return;
    };
    let mut table = Table::new(1_000);
    let (ours, peer) = pair();
    let (pipe, writer) = std::io::pipe().unwrap();
    let listener = listener();
    let file = tempfile::tempfile().unwrap();
    let mut memory = vec![[0u8; 64]; 1_000];
    let mut addrs: Vec<_> = (0..1_000).map(|_| SocketAddrBuf::empty()).collect();
    let (len, peek, nonblocking) = (64, false, false);
    for (i, (place, addr)) in memory.iter_mut().zip(&mut addrs).enumerate() {
        let (fd, buf) = (ours.as_raw_fd(), place.as_mut_ptr());
        let op = match i % 5 {
            0 => Op::Net(Net::Recv { fd, buf, len, peek, nonblocking }),
            1 => Op::Fs(Fs::Read { fd: pipe.as_raw_fd(), buf, len, offset: None }),
            2 => Op::Fs(Fs::Read { fd: file.as_raw_fd(), buf, len, offset: Some(0) }),
            3 => Op::ready(fd, Interest::Readable),
            _ => {
                let (fd, addr) = (listener.as_raw_fd(), &raw mut *addr);
                Op::Net(Net::Accept { fd, addr, nonblocking })
            }
        };
        let token = table.insert(()).unwrap();
        // SAFETY: all of it lives until the driver has been dropped, which drains.
        unsafe { driver.submit(token, &op) };
        if i == 500 {
            driver.wait(Some(Duration::ZERO), &mut Vec::new()).unwrap();
        }
    }
    let start = Instant::now();
    drop(driver);
    assert!(start.elapsed() < PATIENCE / 2, "{choice:?}");
    memory.fill([0xaa; 64]);
    (&peer).write_all(&[1; 64]).unwrap();
    (&writer).write_all(&[1; 64]).unwrap();
    drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    assert!(memory.iter().all(|place| *place == [0xaa; 64]), "{choice:?}: written to");
}

#[test]
fn a_notifier_ends_a_wait_from_another_thread() {
    everywhere(|harness| {
        for pause in [0, 20] {
            let notifier = harness.driver.notifier();
            let waker = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(pause));
                notifier.notify();
            });
            let start = Instant::now();
            harness.driver.wait(Some(PATIENCE), &mut Vec::new()).unwrap();
            assert!(start.elapsed() < PATIENCE / 2, "{}: not woken", harness.kind);
            waker.join().unwrap();
        }
    });
}

/// P13, on the port's level: a message that was left before a notification is seen after the
/// wake-up.
#[test]
fn no_notification_is_lost() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let rounds = rounds(2_000, 250_000);
    everywhere(|harness| {
        let left = std::sync::Arc::new(AtomicUsize::new(0));
        let senders: Vec<_> = (0..4)
            .map(|_| {
                let (left, notifier) = (left.clone(), harness.driver.notifier());
                std::thread::spawn(move || {
                    for _ in 0..rounds {
                        left.fetch_add(1, Ordering::Relaxed);
                        notifier.notify();
                    }
                })
            })
            .collect();
        let mut got = 0;
        while got < 4 * rounds {
            let start = Instant::now();
            harness.driver.wait(Some(PATIENCE), &mut Vec::new()).unwrap();
            assert!(start.elapsed() < PATIENCE / 2, "{}: {got} of {}", harness.kind, 4 * rounds);
            got += left.swap(0, Ordering::Relaxed);
        }
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

#[test]
fn waiting_respects_its_limit() {
    everywhere(|harness| {
        // The first wait also submits the ring's read of its eventfd.
        harness.turn(Duration::ZERO);
        let start = Instant::now();
        harness.turn(Duration::ZERO);
        assert!(start.elapsed() < PATIENCE / 2);
        let start = Instant::now();
        harness.turn(Duration::from_millis(30));
        let took = start.elapsed();
        assert!(took >= Duration::from_millis(29), "{}: {took:?}", harness.kind);
        for limit in [Duration::from_micros(300), Duration::from_micros(1_300)] {
            let start = Instant::now();
            harness.turn(limit);
            assert!(start.elapsed() >= limit, "{}: less than {limit:?}", harness.kind);
        }
        assert!(!harness.driver.has_work());
    });
}

/// P4: a number that is used again never meets an operation of its past.
#[test]
fn a_reused_descriptor_number_gets_no_foreign_bytes() {
    let rounds = rounds(500, 100_000);
    everywhere(|harness| {
        for round in 0..rounds {
            let (ours, mut peer) = pair();
            let mut byte = [0u8; 1];
            let (fd, buf, len) = (ours.as_raw_fd(), byte.as_mut_ptr(), 1);
            let (peek, nonblocking) = (false, false);
            let op = Op::Net(Net::Recv { fd, buf, len, peek, nonblocking });
            // SAFETY: `byte` and `ours` live until the operation's end.
            let token = unsafe { harness.start(op) };
            if round % 2 == 0 {
                harness.turn(Duration::ZERO);
            }
            if round % 3 == 0 {
                harness.driver.cancel(token);
                assert_eq!(harness.end(token), -libc::ECANCELED);
            } else {
                peer.write_all(&[round as u8]).unwrap();
                assert_eq!(harness.end(token), 1);
                assert_eq!(byte[0], round as u8, "{}", harness.kind);
            }
        }
    });
}

#[test]
fn a_lot_of_accepts_wait_on_one_listener() {
    everywhere(|harness| {
        let listener = listener();
        let mut addrs: Vec<_> = (0..50).map(|_| SocketAddrBuf::empty()).collect();
        for addr in &mut addrs {
            let (fd, addr) = (listener.as_raw_fd(), &raw mut *addr);
            // SAFETY: `addrs` and `listener` live until every operation's end.
            unsafe { harness.start(Op::Net(Net::Accept { fd, addr, nonblocking: false })) };
        }
        harness.turn(Duration::ZERO);
        let to = listener.local_addr().unwrap();
        let peers: Vec<_> = (0..50).map(|_| TcpStream::connect(to).unwrap()).collect();
        for fd in harness.end_all() {
            assert!(fd >= 0, "{}: {fd}", harness.kind);
            // SAFETY: the operation's result is a new descriptor.
            drop(unsafe { <TcpStream as std::os::fd::FromRawFd>::from_raw_fd(fd) });
        }
        drop(peers);
    });
}

#[test]
fn a_childs_copy_of_a_driver_leaves_the_parents_alone() {
    alone("driver::tests::pressure::a_childs_copy_of_a_driver_leaves_the_parents_alone", || {
        everywhere(|harness| {
            let (reader, mut writer) = std::io::pipe().unwrap();
            let mut byte = [0u8; 1];
            let (fd, buf, len) = (reader.as_raw_fd(), byte.as_mut_ptr(), 1);
            // SAFETY: `byte` and the pipe live until the operation's end.
            let token = unsafe { harness.start(Op::Fs(Fs::Read { fd, buf, len, offset: None })) };
            harness.turn(Duration::ZERO);
            // SAFETY: the other thread of this process waits for this one and holds no lock; the
            // child only drains and drops its copy.
            let child = unsafe { libc::fork() };
            if child == 0 {
                harness.driver.drain(&mut Vec::new());
                // SAFETY: the parent's copy is another process's; this one is not used again.
                unsafe {
                    std::ptr::drop_in_place(&raw mut harness.driver);
                    libc::_exit(0);
                }
            }
            let mut status = 0;
            // SAFETY: a child of ours and a place for its status.
            assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
            assert_eq!(status, 0, "{}: the child died", harness.kind);
            writer.write_all(&[1]).unwrap();
            assert_eq!(harness.end(token), 1);
            let notifier = harness.driver.notifier();
            notifier.notify();
            let start = Instant::now();
            harness.driver.wait(Some(PATIENCE), &mut Vec::new()).unwrap();
            assert!(start.elapsed() < PATIENCE / 2, "{}: the notifier is gone", harness.kind);
        });
    });
}
