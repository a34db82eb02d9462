//! Descriptors change hands behind a port's back: closed, used again, duplicated. Whoever waits for
//! a number waits for what it stands for now. (A poller's registrations may outlive a wait.)

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::time::Duration;

use super::rig::{Rig, everywhere, pair};
use crate::op::{Net, Op, Token};
use crate::sys::readiness::Interest;
use testkit::alone;

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
            let room = unsafe { rig.start(Op::ready(fd, Interest::Writable)) };
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

/// What a number is made to stand for behind the port's back: safe calls do so with the standard
/// streams (`rustix::stdio::dup2_stdin`).
#[derive(Debug, Clone, Copy)]
enum Instead {
    Pipe,
    File,
    Nothing,
}

/// Has `number` stand for something else. What that is stays open in the result.
fn replace(number: RawFd, by: Instead) -> Box<dyn std::any::Any> {
    let put = |fd: RawFd| {
        // SAFETY: the test owns the number, before and after.
        assert_eq!(unsafe { libc::dup2(fd, number) }, number);
    };
    match by {
        Instead::Pipe => {
            let pipe = std::io::pipe().unwrap();
            put(pipe.0.as_raw_fd());
            Box::new(pipe)
        }
        Instead::File => {
            let file = tempfile::tempfile().unwrap();
            put(file.as_raw_fd());
            Box::new(file)
        }
        Instead::Nothing => {
            // SAFETY: as above; the test forgets its owner.
            assert_eq!(unsafe { libc::close(number) }, 0);
            Box::new(())
        }
    }
}

/// The old file lives on, and becomes ready when nobody waits any more.
fn cancel_under_a_replaced_number(rig: &mut Rig, by: Instead) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (old, number) = (reader.try_clone().unwrap(), reader.into_raw_fd());
    let ready = Op::ready(number, Interest::Readable);
    // SAFETY: there is no memory; that the number does not stay is what is tested.
    let token = unsafe { rig.start(ready) };
    assert!(rig.is_waiting(token));
    let kept = replace(number, by);
    rig.driver.cancel(token);
    assert_eq!(rig.end(token), -libc::ECANCELED, "{}, {by:?}", rig.kind);
    writer.write_all(b"x").unwrap();
    for _ in 0..3 {
        rig.turn(Duration::from_millis(5));
    }
    drop((old, kept));
    if !matches!(by, Instead::Nothing) {
        // SAFETY: the test's own number, used by nobody any more.
        unsafe { libc::close(number) };
    }
}

#[test]
fn whoever_waits_for_a_number_that_is_put_to_another_use_can_be_cancelled() {
    let name = "driver::tests::registrations::\
                whoever_waits_for_a_number_that_is_put_to_another_use_can_be_cancelled";
    alone(name, || {
        for by in [Instead::Pipe, Instead::File, Instead::Nothing] {
            everywhere(|rig| cancel_under_a_replaced_number(rig, by));
        }
    });
}

#[test]
fn whoever_waits_for_a_numbers_old_file_does_not_keep_others_from_its_new_one() {
    everywhere(|rig| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let (fresh, mut writer) = std::io::pipe().unwrap();
        let ready = Op::ready(reader.as_raw_fd(), Interest::Readable);
        // SAFETY: there is no memory, and the number is open to the end.
        let old = unsafe { rig.start(ready) };
        assert!(rig.is_waiting(old));
        // SAFETY: `reader` owns the number, before and after.
        assert!(unsafe { libc::dup2(fresh.as_raw_fd(), reader.as_raw_fd()) } >= 0);
        // SAFETY: as above.
        let new = unsafe { rig.start(ready) };
        assert!(rig.is_waiting(new));
        writer.write_all(b"x").unwrap();
        assert_eq!(rig.end(new), 0, "{}", rig.kind);
        rig.driver.cancel(old);
        assert!([0, -libc::ECANCELED].contains(&rig.end(old)), "{}", rig.kind);
    });
}
