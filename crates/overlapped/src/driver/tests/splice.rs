//! Tests of splices: they move bytes, they end, they never wait for a pipe or a socket, and their
//! wait for a file can be cancelled.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use super::support::{Harness, everywhere, pair};
use crate::op::{Fs, Op};

fn splice(from: impl AsFd, to: impl AsFd, len: u32, on_disk: bool) -> Op {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    Op::Fs(Fs::Splice { from, to, len, on_disk })
}

fn whole(harness: &mut Harness, op: Op) -> i32 {
    // SAFETY: every caller keeps the descriptors until this returns; no memory is involved.
    let token = unsafe { harness.start(op) };
    harness.end(token)
}

fn file(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

#[test]
fn a_splice_moves_between_files_and_pipes_at_the_cursors_and_ends() {
    everywhere(|harness| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (from, mut to) = (file(b"from file to file"), file(b""));
        assert_eq!(whole(harness, splice(&from, &writer, 10, true)), 10);
        assert_eq!(whole(harness, splice(&from, &writer, 100, true)), 7);
        assert_eq!(whole(harness, splice(&from, &writer, 100, true)), 0, "{}", harness.kind);
        assert_eq!(whole(harness, splice(&reader, &to, 100, true)), 17);
        let mut text = String::new();
        to.rewind().unwrap();
        to.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from file to file");
        drop(writer);
        assert_eq!(whole(harness, splice(&reader, &to, 100, true)), 0);
    });
}

#[test]
fn a_splice_waits_for_no_pipe_and_no_socket() {
    everywhere(|harness| {
        let (reader, writer) = std::io::pipe().unwrap();
        let (ours, mut peer) = pair();
        let from = file(&[7; 1 << 20]);
        for (op, because) in [
            (splice(&reader, &ours, 100, false), "the pipe is empty"),
            (splice(&ours, &writer, 100, false), "the socket is empty"),
            (splice(&reader, &from, 100, true), "the pipe is empty"),
        ] {
            assert_eq!(whole(harness, op), -libc::EAGAIN, "{}: {because}", harness.kind);
        }
        while whole(harness, splice(&from, &writer, 1 << 16, true)) > 0 {}
        let op = splice(&from, &writer, 100, true);
        assert_eq!(whole(harness, op), -libc::EAGAIN, "{}: the pipe is full", harness.kind);
        peer.write_all(b"x").unwrap();
        assert_eq!(whole(harness, splice(&ours, &writer, 100, false)), -libc::EAGAIN);
        assert_eq!(whole(harness, splice(&reader, &ours, 4096, false)), 4096);
    });
}

#[test]
fn a_splice_that_makes_no_sense_is_an_error() {
    everywhere(|harness| {
        let (one, other) = (file(b"x"), file(b"y"));
        assert_eq!(whole(harness, splice(&one, &other, 1, true)), -libc::EINVAL, "no pipe");
        let (reader, writer) = std::io::pipe().unwrap();
        assert_eq!(whole(harness, splice(&writer, &other, 1, true)), -libc::EBADF);
        drop(reader);
        assert_eq!(whole(harness, splice(&one, &writer, 1, true)), -libc::EPIPE);
    });
}

#[test]
fn a_cancelled_splice_loses_no_byte() {
    everywhere(|harness| {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut from = file(&[7; 10_000]);
        for round in 0..50u64 {
            // SAFETY: the descriptors live until the operation's end; no memory is involved.
            let token = unsafe { harness.start(splice(&from, &writer, 100, true)) };
            if round % 2 == 0 {
                harness.turn(Duration::ZERO);
            }
            harness.driver.cancel(token);
            let moved = harness.end(token);
            let at = from.stream_position().unwrap();
            if moved > 0 {
                reader.read_exact(&mut [0; 100]).unwrap();
                assert_eq!((moved, at), (100, 100));
                from.rewind().unwrap();
            } else {
                assert_eq!(moved, -libc::ECANCELED, "{}", harness.kind);
                assert_eq!(at, 0);
            }
        }
    });
}
