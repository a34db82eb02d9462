//! Descriptors that are closed, used again or duplicated without the port's knowledge. An operation
//! on a number waits for the file that the number names now. (A poller's registrations may outlive
//! a wait.)

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
use std::time::Duration;

use super::support::{Harness, everywhere, pair};
use crate::op::{Net, Op, Token};
use crate::sys::readiness::Interest;
use testkit::alone;

/// Makes a receive of one byte.
///
/// # Safety
/// `fd` and `byte` live until the operation's end.
unsafe fn receive(harness: &mut Harness, fd: RawFd, byte: &mut [u8; 1]) -> Token {
    let (buf, len, peek, nonblocking) = (byte.as_mut_ptr(), 1, false, false);
    // SAFETY: the caller's promise.
    unsafe { harness.start(Op::Net(Net::Recv { fd, buf, len, peek, nonblocking })) }
}

/// Closes `ours` and opens another pair, whose socket on our side has the same number.
fn again(ours: TcpStream) -> (TcpStream, TcpStream) {
    let (fresh, peer) = pair();
    let number = ours.as_raw_fd();
    // SAFETY: `ours` owns the number, before and after: only the file that it names changes.
    assert_eq!(unsafe { libc::dup2(fresh.as_raw_fd(), number) }, number);
    (ours, peer)
}

#[test]
fn a_reused_descriptor_number_waits_for_its_new_file_while_a_duplicate_of_the_old_one_lives() {
    everywhere(|harness| {
        let (ours, mut old_peer) = pair();
        let mut byte = [0];
        // SAFETY: `byte` and `ours` live until the operation's end.
        let token = unsafe { receive(harness, ours.as_raw_fd(), &mut byte) };
        assert!(harness.is_waiting(token));
        old_peer.write_all(b"1").unwrap();
        assert_eq!((harness.end(token), byte), (1, *b"1"), "{}", harness.kind);

        let mut duplicate = ours.try_clone().unwrap();
        let (ours, mut peer) = again(ours);
        // SAFETY: as above.
        let token = unsafe { receive(harness, ours.as_raw_fd(), &mut byte) };
        old_peer.write_all(b"x").unwrap();
        assert!(harness.is_waiting(token), "{}: woken by another file", harness.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((harness.end(token), byte), (1, *b"2"), "{}", harness.kind);
        duplicate.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x", "{}", harness.kind);
    });
}

#[test]
fn a_waiter_that_left_without_an_event_leaves_nothing_that_fires() {
    everywhere(|harness| {
        let (bystander, mut bystanders_peer) = pair();
        let mut bystanders_byte = [0];
        // SAFETY: the byte and the socket live until the operation's end.
        let waits = unsafe { receive(harness, bystander.as_raw_fd(), &mut bystanders_byte) };

        let (ours, mut old_peer) = pair();
        let mut byte = [0];
        // SAFETY: `byte` and `ours` live until the operation's end.
        let token = unsafe { receive(harness, ours.as_raw_fd(), &mut byte) };
        assert!(harness.is_waiting(token));
        harness.driver.cancel(token);
        assert_eq!(harness.end(token), -libc::ECANCELED, "{}", harness.kind);

        let _duplicate = ours.try_clone().unwrap();
        let (ours, mut peer) = again(ours);
        old_peer.write_all(b"x").unwrap();
        assert!(harness.is_waiting(waits), "{}: woken by another file", harness.kind);
        // SAFETY: as above.
        let token = unsafe { receive(harness, ours.as_raw_fd(), &mut byte) };
        assert!(harness.is_waiting(token), "{}: woken by another file", harness.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((harness.end(token), byte), (1, *b"2"), "{}", harness.kind);
        bystanders_peer.write_all(b"3").unwrap();
        assert_eq!((harness.end(waits), bystanders_byte), (1, *b"3"), "{}", harness.kind);
    });
}

#[test]
fn one_descriptor_is_waited_for_again_and_again_in_both_directions() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let fd = ours.as_raw_fd();
        for round in 0..50 {
            let mut byte = [0];
            // SAFETY: `byte` and `ours` live until the operations' ends.
            let token = unsafe { receive(harness, fd, &mut byte) };
            if round % 2 == 0 {
                harness.turn(Duration::ZERO);
            }
            // SAFETY: no memory is involved, and `ours` lives.
            let room = unsafe { harness.start(Op::ready(fd, Interest::Writable)) };
            assert_eq!(harness.end(room), 0, "{}", harness.kind);
            if round % 3 == 0 {
                harness.driver.cancel(token);
                assert_eq!(harness.end(token), -libc::ECANCELED, "{}", harness.kind);
                continue;
            }
            peer.write_all(&[round]).unwrap();
            assert_eq!((harness.end(token), byte), (1, [round]), "{}", harness.kind);
        }
    });
}

#[test]
fn a_waiter_that_an_event_brings_nothing_gets_the_next_event() {
    everywhere(|harness| {
        let (ours, mut peer) = pair();
        let (mut first, mut second) = ([0], [0]);
        // SAFETY: the bytes and `ours` live until the operations' ends.
        let tokens = unsafe {
            let token = receive(harness, ours.as_raw_fd(), &mut first);
            [token, receive(harness, ours.as_raw_fd(), &mut second)]
        };
        peer.write_all(b"1").unwrap();
        assert_eq!((harness.end(tokens[0]), first), (1, *b"1"), "{}", harness.kind);
        assert!(harness.is_waiting(tokens[1]), "{}", harness.kind);
        peer.write_all(b"2").unwrap();
        assert_eq!((harness.end(tokens[1]), second), (1, *b"2"), "{}", harness.kind);
    });
}

/// The file that a number is made to name without the port's knowledge: safe calls do so with the
/// standard streams (`rustix::stdio::dup2_stdin`).
#[derive(Debug, Clone, Copy)]
enum Instead {
    Pipe,
    File,
    Nothing,
}

/// Makes `number` name another file, which stays open in the result.
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

/// The old file lives on, and becomes ready when no operation waits any more.
fn cancel_under_a_replaced_number(harness: &mut Harness, by: Instead) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let (old, number) = (reader.try_clone().unwrap(), reader.into_raw_fd());
    let ready = Op::ready(number, Interest::Readable);
    // SAFETY: no memory is involved; the test is about a number that does not stay.
    let token = unsafe { harness.start(ready) };
    assert!(harness.is_waiting(token));
    let kept = replace(number, by);
    harness.driver.cancel(token);
    assert_eq!(harness.end(token), -libc::ECANCELED, "{}, {by:?}", harness.kind);
    writer.write_all(b"x").unwrap();
    for _ in 0..3 {
        harness.turn(Duration::from_millis(5));
    }
    drop((old, kept));
    if !matches!(by, Instead::Nothing) {
        // SAFETY: the test's own number, which is in no other use any more.
        unsafe { libc::close(number) };
    }
}

#[test]
fn an_operation_whose_descriptor_number_was_reused_can_be_cancelled() {
    let name = "driver::tests::registrations::\
                an_operation_whose_descriptor_number_was_reused_can_be_cancelled";
    alone(name, || {
        for by in [Instead::Pipe, Instead::File, Instead::Nothing] {
            everywhere(|harness| cancel_under_a_replaced_number(harness, by));
        }
    });
}

#[test]
fn a_waiter_for_a_numbers_old_file_does_not_block_waiters_for_its_new_one() {
    everywhere(|harness| {
        let (reader, _writer) = std::io::pipe().unwrap();
        let (fresh, mut writer) = std::io::pipe().unwrap();
        let ready = Op::ready(reader.as_raw_fd(), Interest::Readable);
        // SAFETY: no memory is involved, and the number is open to the end.
        let old = unsafe { harness.start(ready) };
        assert!(harness.is_waiting(old));
        // SAFETY: `reader` owns the number, before and after.
        assert!(unsafe { libc::dup2(fresh.as_raw_fd(), reader.as_raw_fd()) } >= 0);
        // SAFETY: as above.
        let new = unsafe { harness.start(ready) };
        assert!(harness.is_waiting(new));
        writer.write_all(b"x").unwrap();
        assert_eq!(harness.end(new), 0, "{}", harness.kind);
        harness.driver.cancel(old);
        assert!([0, -libc::ECANCELED].contains(&harness.end(old)), "{}", harness.kind);
    });
}
