//! Vectored transfers. The same calls are made on std's objects in a thread, and on this library's
//! in tasklets and in a thread. Every result and every byte is compared.

mod against_std;
mod support;

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::process::{Command, Stdio};

use against_std::{Log, ms};
use overlapped::time::timeout;
use overlapped::{JoinError, run, spawn, yield_now};

/// More slices than one call takes (`IOV_MAX`).
const MANY: usize = 1025;

/// The slices of the writes, each written in one call.
fn writes() -> Vec<(&'static str, Vec<&'static [u8]>)> {
    vec![
        ("two parts", vec![b"ab", b"cd"]),
        ("an empty first part", vec![b"", b"ef", b"g"]),
        ("an empty part in between", vec![b"h", b"", b"", b"ij"]),
        ("one part", vec![b"k"]),
        ("empty parts only", vec![b"", b"", b""]),
        ("no part", vec![]),
        ("as many parts as one call takes", vec![b"x"; MANY - 1]),
        ("more parts than one call takes", vec![b"y"; MANY]),
        ("empty parts before the first byte", [vec![b"" as &[u8]; MANY], vec![b"z"]].concat()),
        ("a last part", vec![b"end", b"."]),
    ]
}

/// The lengths of the slices that are read into, each in one call.
fn reads() -> Vec<(&'static str, Vec<usize>)> {
    vec![
        ("two slices", vec![1, 2]),
        ("an empty first slice", vec![0, 2, 1]),
        ("empty slices only", vec![0, 0]),
        ("no slice", vec![]),
        ("one slice", vec![2]),
        ("more slices than one call takes", vec![1; MANY]),
        ("empty slices before the first byte", [vec![0; MANY], vec![1]].concat()),
    ]
}

fn write_all_shapes(log: &mut Log, name: &str, writer: &mut impl Write) -> usize {
    let mut total = 0;
    for (what, parts) in writes() {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let result = writer.write_vectored(&slices);
        total += result.as_ref().map_or(0, |count| *count);
        log.note(&format!("{name}: writing {what}"), result);
        log.note(&format!("{name}: flushing"), writer.flush());
    }
    total
}

fn read_all_shapes(log: &mut Log, name: &str, reader: &mut impl Read, total: usize) {
    let mut left = total;
    for (what, lengths) in reads() {
        let mut memory: Vec<_> = lengths.iter().map(|len| vec![b'?'; *len]).collect();
        let mut slices: Vec<_> = memory.iter_mut().map(|part| IoSliceMut::new(part)).collect();
        let result = reader.read_vectored(&mut slices);
        left -= result.as_ref().map_or(0, |count| *count);
        let result = result.map(|count| (count, brief(&memory.concat())));
        log.note(&format!("{name}: reading {what}"), result);
    }
    read_the_rest(log, name, reader, left);
}

fn read_the_rest(log: &mut Log, name: &str, reader: &mut impl Read, left: usize) {
    let mut rest = vec![0; left];
    log.note(&format!("{name}: the rest"), reader.read_exact(&mut rest).map(|()| brief(&rest)));
}

/// Returns bytes as text, with the count of repeated ones.
fn brief(bytes: &[u8]) -> String {
    let runs = bytes.chunk_by(|a, b| a == b);
    runs.map(|run| format!("{}{}", char::from(run[0]), run.len())).collect()
}

fn both(log: &mut Log, name: &str, writer: &mut impl Write, reader: &mut impl Read) {
    let total = write_all_shapes(log, name, writer);
    read_all_shapes(log, name, reader, total);
}

/// Writes until there is no reader, and notes the error. A child that another test starts has the
/// reading end, too, until it runs its program.
fn until_the_reader_is_gone(log: &mut Log, writer: &mut impl Write) {
    let parts = [b"a", b"b"].map(|part| IoSlice::new(part));
    let error = loop {
        match writer.write_vectored(&parts) {
            Ok(count) => assert_eq!(count, 2),
            Err(error) => break error,
        }
        std::thread::sleep(ms(1));
    };
    log.note("without a reader", Err::<(), _>(error));
}

/// Opens a pseudo-terminal in raw mode: bytes written to the second end come out of the first.
fn terminal() -> (OwnedFd, OwnedFd) {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: the places are valid; null asks for no name and for default settings. The descriptors
    // are new, and owned by no other code.
    unsafe {
        let null = std::ptr::null_mut();
        assert_eq!(libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast()), 0);
        let mut mode: libc::termios = std::mem::zeroed();
        libc::tcgetattr(slave, &mut mode);
        libc::cfmakeraw(&mut mode);
        libc::tcsetattr(slave, libc::TCSANOW, &mode);
        (OwnedFd::from_raw_fd(master), OwnedFd::from_raw_fd(slave))
    }
}

macro_rules! kinds {
    ($($name:ident |$log:ident| $body:block)*) => {
        kinds!(@in in_std, std, $($name $log $body)*);
        kinds!(@in ours, overlapped, $($name $log $body)*);
        $(#[test] fn $name() {
            against_std::compare(stringify!($name), [("std", in_std::$name),
                ("tasklets", ours::$name), ("threads", ours::$name)]);
        })*
    };
    (@in $module:ident, $root:ident, $($name:ident $log:ident $body:block)*) => {
        #[allow(unused_imports)]
        mod $module {
            use super::*;
            use $root::{fs, io, net, process};
            use $root::os::unix::net as unix;
            $(pub(super) fn $name($log: &mut Log) $body)*
        }
    };
}

kinds! {
    tcp_streams |log| {
        let listener = net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let total = write_all_shapes(log, "tcp", &mut near);
        while far.peek(&mut [0; 8192]).unwrap() < total {}
        read_all_shapes(log, "tcp", &mut far, total);
        both(log, "a reference", &mut &near, &mut &far);
    }

    unix_streams |log| {
        let (mut near, mut far) = unix::UnixStream::pair().unwrap();
        both(log, "unix", &mut near, &mut far);
        both(log, "a reference", &mut &near, &mut &far);
    }

    pipes |log| {
        let (mut reader, mut writer) = io::pipe().unwrap();
        both(log, "pipe", &mut writer, &mut reader);
        both(log, "a reference", &mut &writer, &mut &reader);
        drop(reader);
        until_the_reader_is_gone(log, &mut writer);
        log.note("no bytes without a reader", writer.write_vectored(&[IoSlice::new(b"")]));
    }

    children |log| {
        let mut cat = process::Command::new("cat");
        cat.stdin(process::Stdio::piped()).stdout(process::Stdio::piped());
        let mut child = cat.spawn().unwrap();
        let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let total = write_all_shapes(log, "a child", &mut stdin);
        let more = write_all_shapes(log, "a reference", &mut &stdin);
        drop(stdin);
        // All of it is in the pipe then.
        log.note("its end", child.wait());
        read_all_shapes(log, "a child", &mut stdout, total);
        read_all_shapes(log, "again", &mut stdout, more);
        let mut echo = process::Command::new("sh");
        echo.args(["-c", "printf 0123456789abcdef >&2; head -c 3000 /dev/zero >&2"]);
        let mut child = echo.stderr(process::Stdio::piped()).spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        log.note("its end", child.wait());
        read_all_shapes(log, "stderr", &mut stderr, 3016);
    }

    files |log| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let mut file = fs::File::create(&path).unwrap();
        let total = write_all_shapes(log, "a file", &mut file);
        let more = write_all_shapes(log, "a reference", &mut &file);
        let mut file = fs::File::open(&path).unwrap();
        read_all_shapes(log, "a file", &mut file, total);
        read_all_shapes(log, "a reference", &mut &file, more);
        log.note("at the end", file.read_vectored(&mut [IoSliceMut::new(&mut [0; 3])]));
        let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
        let more = write_all_shapes(log, "appended", &mut file);
        log.note("its length", file.metadata().map(|metadata| metadata.len()));
        log.note("in all", Ok(more));
    }

    files_that_are_something_else |log| {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let (mut near, mut far) =
            (fs::File::from(OwnedFd::from(near)), fs::File::from(OwnedFd::from(far)));
        both(log, "a socket", &mut near, &mut far);
        drop(far);
        until_the_reader_is_gone(log, &mut near);
        let (reader, writer) = std::io::pipe().unwrap();
        let (mut reader, mut writer) =
            (fs::File::from(OwnedFd::from(reader)), fs::File::from(OwnedFd::from(writer)));
        both(log, "a pipe", &mut writer, &mut reader);
        let (reader, writer) = terminal();
        let (mut reader, mut writer) = (fs::File::from(reader), fs::File::from(writer));
        // The bytes that a terminal returns at once depend on timing.
        let total = write_all_shapes(log, "a terminal", &mut writer);
        read_the_rest(log, "a terminal", &mut reader, total);
    }
}

/// The child's side of [`standard_streams`].
#[test]
fn child_with_standard_streams() {
    let Ok(whose) = std::env::var("OVERLAPPED_TEST_CHILD") else { return };
    fn all(
        log: &mut Log,
        stdin: &mut impl Read,
        (stdout, stderr): (&mut impl Write, &mut impl Write),
    ) {
        stdout.write_all(b"MARK\n").unwrap();
        stdout.flush().unwrap();
        let lines: [&[&[u8]]; 6] = [
            &[b"a part ", b"and another"],
            &[b" that end\nand", b" begin\n", b"again"],
            &[b"", b"\n", b"", b"x"],
            &[b"", b""],
            &[&[b'm'; 700], &[b'n'; 700]],
            &[b"last\n"],
        ];
        for parts in lines {
            let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
            log.note("lines", stdout.write_vectored(&slices));
        }
        write_all_shapes(log, "stdout", stdout);
        write_all_shapes(log, "stderr", stderr);
        read_all_shapes(log, "stdin", stdin, 2000);
    }
    let mut log = Log::default();
    match whose.as_str() {
        "std" => {
            use std::io::{stderr, stdin, stdout};
            all(&mut log, &mut stdin().lock(), (&mut stdout().lock(), &mut stderr()));
        }
        "tasklets" => run(|| {
            use overlapped::io::{stderr, stdin, stdout};
            all(&mut log, &mut stdin().lock(), (&mut stdout().lock(), &mut stderr()));
        })
        .unwrap(),
        _ => {
            use overlapped::io::{stderr, stdin, stdout};
            all(&mut log, &mut stdin(), (&mut stdout(), &mut stderr().lock()));
        }
    }
    std::fs::write(std::env::var("OVERLAPPED_TEST_LOG").unwrap(), log.text()).unwrap();
    std::process::exit(0);
}

/// Returns the notes of a child whose streams are `whose`, and the bytes of both streams.
fn child(whose: &str) -> (String, Vec<u8>, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child_with_standard_streams", "--exact", "--nocapture", "--test-threads=1"])
        .env("OVERLAPPED_TEST_CHILD", whose)
        .env("OVERLAPPED_TEST_LOG", &log)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let bytes: Vec<u8> = (0..2000).map(|i| b'a' + (i % 26) as u8).collect();
    child.stdin.take().unwrap().write_all(&bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{whose}: {}: {errors}", output.status);
    let mark = output.stdout.windows(5).position(|window| window == b"MARK\n").unwrap();
    (std::fs::read_to_string(log).unwrap(), output.stdout[mark..].to_vec(), output.stderr)
}

#[test]
fn standard_streams() {
    let theirs = child("std");
    assert!(theirs.0.lines().count() > 40, "{}", theirs.0);
    for whose in ["tasklets", "threads"] {
        let ours = child(whose);
        assert_eq!(ours.0, theirs.0, "{whose} (left) against std (right)");
        assert_eq!(String::from_utf8_lossy(&ours.1), String::from_utf8_lossy(&theirs.1), "{whose}");
        assert_eq!(String::from_utf8_lossy(&ours.2), String::from_utf8_lossy(&theirs.2), "{whose}");
    }
}

/// pipe(7): a write of up to `PIPE_BUF` bytes is not mixed with other writes.
#[test]
fn a_message_in_parts_goes_through_a_pipe_in_one_piece() {
    const PART: usize = 1000;
    const MESSAGES: usize = 100;
    run(|| {
        let (mut reader, writer) = overlapped::io::pipe().unwrap();
        let writers = b'a'..=b'd';
        for letter in writers.clone() {
            let mut writer = writer.try_clone().unwrap();
            spawn(move || {
                let part = [letter; PART];
                for _ in 0..MESSAGES {
                    let message = [b"(" as &[u8], &part, &part, &part, b")"].map(IoSlice::new);
                    let written = writer.write_vectored(&message).unwrap();
                    assert_eq!(written, 3 * PART + 2, "a message is written whole");
                }
            });
        }
        drop(writer);
        let mut message = [0; 3 * PART + 2];
        for _ in 0..MESSAGES * writers.count() {
            reader.read_exact(&mut message).unwrap();
            let (inner, letter) = (&message[1..=3 * PART], message[1]);
            assert!(message[0] == b'(' && message[3 * PART + 1] == b')');
            assert!(inner.iter().all(|byte| *byte == letter), "two messages are mixed");
        }
        assert_eq!(reader.read(&mut message).unwrap(), 0);
    })
    .unwrap();
}

#[test]
fn a_vectored_read_that_is_cancelled_loses_no_byte() {
    run(|| {
        let (reader, mut writer) = overlapped::io::pipe().unwrap();
        let reader = std::rc::Rc::new(reader);
        let read = |reader: &overlapped::io::PipeReader| {
            let (mut first, mut second) = ([0; 1], [0; 3]);
            let slices = &mut [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
            let count = (&*reader).read_vectored(slices)?;
            std::io::Result::Ok((count, first, second))
        };
        let timed_out = timeout(ms(5), || read(&reader)).unwrap_err();
        assert_eq!(timed_out.kind(), std::io::ErrorKind::TimedOut);
        let theirs = reader.clone();
        let killed = spawn(move || read(&theirs));
        yield_now();
        killed.kill();
        assert!(matches!(killed.join(), Err(JoinError::Killed)));
        assert_eq!(
            writer.write_vectored(&[b"ab", b"cd"].map(|part| IoSlice::new(part))).unwrap(),
            4
        );
        assert_eq!(read(&reader).unwrap(), (4, *b"a", *b"bcd"));
    })
    .unwrap();
}
