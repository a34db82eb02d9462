//! A cancel decides nothing: one completion per operation, and no byte is lost to the race.

use std::io::Write;
use std::net::TcpStream;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::pressure::rounds;
use super::support::{Harness, everywhere, listener, pair};
use crate::driver::Driver;
use crate::op::{Fs, Net, Op};
use crate::sys::address::SocketAddrBuf;
use crate::sys::readiness::Interest;

/// Tells whether the driver goes on asking operations to end.
fn is_asking(harness: &Harness) -> bool {
    match &harness.driver {
        Driver::Uring(uring) => uring.is_asking(),
        Driver::Poll(_) => false,
        #[cfg(miri)]
        Driver::Null(_) => false,
    }
}

#[test]
fn every_waiting_operation_can_be_cancelled() {
    everywhere(|harness| {
        let (ours, _peer) = pair();
        let fd = ours.as_raw_fd();
        let listener = listener();
        let (pipe, _writer) = std::io::pipe().unwrap();
        let mut addr = SocketAddrBuf::empty();
        let mut memory = [0; 16];
        let (buf, len, nonblocking) = (memory.as_mut_ptr(), 16, false);
        let accept = Net::Accept { fd: listener.as_raw_fd(), addr: &raw mut addr, nonblocking };
        for op in [
            Op::Net(Net::Recv { fd, buf, len, peek: false, nonblocking }),
            Op::Net(accept),
            Op::Fs(Fs::Read { fd: pipe.as_raw_fd(), buf, len, offset: None }),
            Op::ready(fd, Interest::Readable),
        ] {
            // Cancelled at once, and after the kernel has seen the operation.
            for settled in [false, true] {
                // SAFETY: descriptors and memory live until the operation's end.
                let token = unsafe { harness.start(op) };
                if settled {
                    assert!(harness.is_waiting(token));
                }
                harness.driver.cancel(token);
                assert_eq!(harness.end(token), -libc::ECANCELED, "{}: {op:?}", harness.kind);
                // A cancel that comes too late does nothing.
                harness.driver.cancel(token);
                harness.turn(Duration::ZERO);
                assert!(
                    !is_asking(harness),
                    "{}: its cancel would be repeated for ever",
                    harness.kind
                );
            }
        }
    });
}

#[test]
fn any_number_can_wait_on_one_descriptor_and_each_can_be_cancelled() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        let mut memory = [[0u8; 1]; 100];
        let mut tokens = Vec::new();
        for place in &mut memory {
            let (buf, len, peek) = (place.as_mut_ptr(), 1, false);
            let nonblocking = false;
            let op = Op::Net(Net::Recv { fd, buf, len, peek, nonblocking });
            // SAFETY: `memory` and `ours` live until every operation's end.
            tokens.push(unsafe { harness.start(op) });
        }
        assert!(harness.is_waiting(tokens[0]));
        for token in tokens.iter().step_by(2) {
            harness.driver.cancel(*token);
        }
        for token in tokens.iter().step_by(2) {
            assert_eq!(harness.end(*token), -libc::ECANCELED);
        }
        peer.write_all(&[5; 50]).unwrap();
        assert!(harness.end_all().iter().all(|&result| result == 1), "{}", harness.kind);
        assert_eq!(memory.iter().filter(|place| place[0] == 5).count(), 50);
    });
}

fn reach(step: &AtomicUsize, round: usize) {
    while step.load(Ordering::Acquire) < round {
        std::thread::yield_now();
    }
}

/// P1: cancels race with a peer that writes at any moment.
#[test]
fn no_received_byte_is_lost_to_a_race_with_cancel() {
    let rounds = rounds(2_000, 100_000);
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        // The steps that the writer may take, is about to take, and has taken.
        let steps = Arc::new([const { AtomicUsize::new(0) }; 3]);
        let writer = std::thread::spawn({
            let steps = Arc::clone(&steps);
            move || {
                for round in 1..=rounds {
                    reach(&steps[0], round);
                    steps[1].store(round, Ordering::Release);
                    peer.write_all(&[round as u8]).unwrap();
                    steps[2].store(round, Ordering::Release);
                }
                peer
            }
        });
        let (mut received, mut cancelled, mut seen) = (0usize, 0usize, Vec::new());
        for round in 1..=rounds {
            let mut byte = [0u8; 8];
            let (buf, len, peek) = (byte.as_mut_ptr(), 1, false);
            let nonblocking = false;
            let op = Op::Net(Net::Recv { fd, buf, len, peek, nonblocking });
            // SAFETY: `byte` and `ours` live until the operation's end.
            let token = unsafe { harness.start(op) };
            harness.turn(Duration::ZERO);
            steps[0].store(round, Ordering::Release);
            // The cancel comes before, during or after the write, shifted by a few spins.
            match round / 2 % 4 {
                0 => {}
                1 => reach(&steps[1], round),
                _ => reach(&steps[2], round),
            }
            for _ in 0..round % 61 * 8 {
                std::hint::spin_loop();
            }
            if round / 2 % 4 != 2 {
                harness.turn(Duration::ZERO);
            }
            harness.driver.cancel(token);
            match harness.end(token) {
                1 => {
                    received += 1;
                }
                result => {
                    assert_eq!(result, -libc::ECANCELED, "{}", harness.kind);
                    assert_eq!(byte, [0; 8], "a cancelled receive has written");
                    cancelled += 1;
                    // The byte is still in the socket.
                    // SAFETY: as above.
                    let token = unsafe { harness.start(op) };
                    assert_eq!(harness.end(token), 1);
                }
            }
            seen.push(byte[0]);
        }
        drop(writer.join().unwrap());
        let mut rest = [0u8; 1];
        let (buf, len, peek) = (rest.as_mut_ptr(), 1, false);
        let nonblocking = false;
        let op = Op::Net(Net::Recv { fd, buf, len, peek, nonblocking });
        // SAFETY: `rest` and `ours` live until the operation's end.
        let token = unsafe { harness.start(op) };
        assert_eq!(harness.end(token), 0, "nothing is left but the end");
        let sent: Vec<u8> = (1..=rounds).map(|round| round as u8).collect();
        assert_eq!(seen, sent, "{}: {received} received, {cancelled} cancelled", harness.kind);
        let enough = rounds / 100;
        assert!(
            received >= enough && cancelled >= enough,
            "{}: not tested, one outcome hardly occurred: {received} to {cancelled}",
            harness.kind
        );
    });
}

/// The ring tries an operation for 128 wakes and then gives it up: an accept goes to a worker,
/// which obeys `O_NONBLOCK`. The driver starts it again, so the caller never sees that a competitor
/// was quicker every time.
#[test]
fn an_operation_goes_on_though_a_competitor_is_quicker_every_time() {
    everywhere(|harness| {
        let listener = listener();
        let addr = listener.local_addr().unwrap();
        let mut from = SocketAddrBuf::empty();
        let (fd, nonblocking) = (listener.as_raw_fd(), false);
        let op = Op::Net(Net::Accept { fd, addr: &raw mut from, nonblocking });
        // SAFETY: the address and the listener live until the operation's end.
        let token = unsafe { harness.start(op) };
        let mut is_quicker = true;
        for _ in 0..300 {
            let _client = TcpStream::connect(addr).unwrap();
            is_quicker = listener.accept().is_ok();
            if !is_quicker {
                break; // A worker of the ring has just tried.
            }
            harness.turn(Duration::ZERO);
        }
        assert!(!is_quicker || harness.is_waiting(token), "{}", harness.kind);
        let _client = TcpStream::connect(addr).unwrap();
        let socket = harness.end(token);
        assert!(socket >= 0, "{}: {socket}", harness.kind);
        // SAFETY: the accept has just made it; no other code knows it.
        drop(unsafe { OwnedFd::from_raw_fd(socket) });
    });
}
