//! Descriptors change hands behind a port's back: closed, used again, duplicated. Whoever waits for
//! a number waits for what it stands for now. (A poller's registrations may outlive a wait.)

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, RawFd};
use std::time::Duration;

use super::rig::{Rig, everywhere, pair};
use crate::op::{Interest, Net, Op, Token};

/// A receive of one byte.
///
/// # Safety
/// `fd` and `byte` live until the operation's end.
unsafe fn receive(rig: &mut Rig, fd: RawFd, byte: &mut [u8; 1]) -> Token {
    let (buf, len, peek, nonblocking) = (byte.as_mut_ptr(), 1, false, false);
    // SAFETY: the caller's promise.
    unsafe { rig.start(Op::Net(Net::Recv { fd, buf, len, peek, nonblocking })) }
}

/// Closes `ours` and opens another pair, whose socket on our side has the same number.
fn again(ours: TcpStream) -> (TcpStream, TcpStream) {
    let (fresh, peer) = pair();
    let number = ours.as_raw_fd();
    // SAFETY: `ours` owns the number, before and after: only what it stands for changes.
    assert_eq!(unsafe { libc::dup2(fresh.as_raw_fd(), number) }, number);
    (ours, peer)
}

#[test]
fn a_number_used_again_waits_for_its_own_file_while_a_duplicate_of_the_old_one_lives() {
    everywhere(|rig| {
        let (ours, mut old_peer) = pair();
        let mut byte = [0];
        // SAFETY: `byte` and `ours` live until the operation's end.
        let token = unsafe { receive(rig, ours.as_raw_fd(), &mut byte) };
        assert!(rig.is_waiting(token));
        old_peer.write_all(b"1").unwrap();
        assert_eq!((rig.end(token), byte), (1, *b"1"), "{}", rig.kind);

        let mut duplicate = ours.try_clone().unwrap();
        let (ours, mut peer) = again(ours);
        // SAFETY: as above.
        let token = unsafe { receive(rig, ours.as_raw_fd(), &mut byte) };
        old_peer.write_all(b"x").unwrap();
        assert!(rig.is_waiting(token), "{}: woken by another file", rig.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((rig.end(token), byte), (1, *b"2"), "{}", rig.kind);
        duplicate.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x", "{}", rig.kind);
    });
}

#[test]
fn whoever_left_without_an_event_leaves_nothing_that_fires() {
    everywhere(|rig| {
        let (bystander, mut bystanders_peer) = pair();
        let mut bystanders_byte = [0];
        // SAFETY: the byte and the socket live until the operation's end.
        let waits = unsafe { receive(rig, bystander.as_raw_fd(), &mut bystanders_byte) };

        let (ours, mut old_peer) = pair();
        let mut byte = [0];
        // SAFETY: `byte` and `ours` live until the operation's end.
        let token = unsafe { receive(rig, ours.as_raw_fd(), &mut byte) };
        assert!(rig.is_waiting(token));
        rig.driver.cancel(token);
        assert_eq!(rig.end(token), -libc::ECANCELED, "{}", rig.kind);

        let _duplicate = ours.try_clone().unwrap();
        let (ours, mut peer) = again(ours);
        old_peer.write_all(b"x").unwrap();
        assert!(rig.is_waiting(waits), "{}: woken by another file", rig.kind);
        // SAFETY: as above.
        let token = unsafe { receive(rig, ours.as_raw_fd(), &mut byte) };
        assert!(rig.is_waiting(token), "{}: woken by another file", rig.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((rig.end(token), byte), (1, *b"2"), "{}", rig.kind);
        bystanders_peer.write_all(b"3").unwrap();
        assert_eq!((rig.end(waits), bystanders_byte), (1, *b"3"), "{}", rig.kind);
    });
}

#[test]
fn one_descriptor_is_waited_for_again_and_again_in_both_directions() {
    everywhere(|rig| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        for round in 0..50 {
            let mut byte = [0];
            // SAFETY: `byte` and `ours` live until the operations' ends.
            let token = unsafe { receive(rig, fd, &mut byte) };
            if round % 2 == 0 {
                rig.turn(Duration::ZERO);
            }
            // SAFETY: no memory; `ours` lives.
            let room = unsafe { rig.start(Op::Ready { fd, interest: Interest::Writable }) };
            assert_eq!(rig.end(room), 0, "{}", rig.kind);
            if round % 3 == 0 {
                rig.driver.cancel(token);
                assert_eq!(rig.end(token), -libc::ECANCELED, "{}", rig.kind);
                continue;
            }
            peer.write_all(&[round]).unwrap();
            assert_eq!((rig.end(token), byte), (1, [round]), "{}", rig.kind);
        }
    });
}

#[test]
fn whom_an_event_brings_nothing_gets_the_next_one() {
    everywhere(|rig| {
        let (ours, mut peer) = pair();
        let (mut first, mut second) = ([0], [0]);
        // SAFETY: the bytes and `ours` live until the operations' ends.
        let tokens = unsafe {
            let token = receive(rig, ours.as_raw_fd(), &mut first);
            [token, receive(rig, ours.as_raw_fd(), &mut second)]
        };
        peer.write_all(b"1").unwrap();
        assert_eq!((rig.end(tokens[0]), first), (1, *b"1"), "{}", rig.kind);
        assert!(rig.is_waiting(tokens[1]), "{}", rig.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((rig.end(tokens[1]), second), (1, *b"2"), "{}", rig.kind);
    });
}
