//! Sources and sinks of every kind for the tests that move bytes.
#![allow(dead_code, reason = "every test program uses a part of it")]

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::OwnedFd;
use std::thread;

/// The byte at `i` of everything that is moved here.
pub(crate) fn byte(i: usize) -> u8 {
    (i.wrapping_mul(2_654_435_761) >> 13) as u8
}

pub(crate) fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(byte).collect()
}

pub(crate) fn file_of(bytes: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.rewind().unwrap();
    file
}

pub(crate) const SOURCES: [&str; 4] = ["file", "pipe", "socket", "blocking socket"];
pub(crate) const SINKS: [&str; 5] =
    ["file", "file to append to", "pipe", "socket", "blocking socket"];

/// A source that gives `bytes` and ends, fed by a thread where it must be.
pub(crate) fn source(kind: &str, bytes: &[u8]) -> OwnedFd {
    let bytes = bytes.to_vec();
    match kind {
        "file" => file_of(&bytes).into(),
        "pipe" => {
            let (reader, mut writer) = std::io::pipe().unwrap();
            thread::spawn(move || writer.write_all(&bytes));
            reader.into()
        }
        _ => {
            let (ours, mut theirs) = testkit::tcp_pair();
            ours.set_nonblocking(kind == "socket").unwrap();
            thread::spawn(move || theirs.write_all(&bytes));
            ours.into()
        }
    }
}

/// A sink, and what it has when it is closed.
pub(crate) fn sink(kind: &str) -> (OwnedFd, Box<dyn FnOnce() -> Vec<u8>>) {
    fn collected(mut from: impl Read + Send + 'static) -> Box<dyn FnOnce() -> Vec<u8>> {
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            from.read_to_end(&mut bytes).unwrap();
            bytes
        });
        Box::new(move || reader.join().unwrap())
    }
    match kind {
        "file" | "file to append to" => {
            let file = tempfile::NamedTempFile::new().unwrap();
            let append = kind != "file";
            let opened = File::options().append(append).write(true).open(file.path()).unwrap();
            (opened.into(), Box::new(move || std::fs::read(file.path()).unwrap()))
        }
        "pipe" => {
            let (reader, writer) = std::io::pipe().unwrap();
            (writer.into(), collected(reader))
        }
        _ => {
            let (ours, theirs) = testkit::tcp_pair();
            ours.set_nonblocking(kind == "socket").unwrap();
            (ours.into(), collected(theirs))
        }
    }
}

pub(crate) fn every_pair(test: impl Fn(&str, &str)) {
    for from in SOURCES {
        for to in SINKS {
            test(from, to);
        }
    }
}
