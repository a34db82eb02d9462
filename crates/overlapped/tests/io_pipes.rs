//! Pipes: std's ends, with waits that block the tasklet only.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use overlapped::io::{PipeReader, PipeWriter, pipe};
use overlapped::time::timeout;
use overlapped::{JoinError, run, spawn, yield_now};

#[test]
fn a_read_waits_for_bytes_and_ends_when_every_writer_has_gone() {
    run(|| {
        let (mut reader, writer) = pipe().unwrap();
        let writers = [writer.try_clone().unwrap(), writer];
        for (byte, mut writer) in (1u8..).zip(writers) {
            spawn(move || {
                yield_now();
                writer.write_all(&[byte]).unwrap();
            });
        }
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);
    })
    .unwrap();
}

#[test]
fn bytes_that_do_not_fit_wait_for_the_reader() {
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let bytes: Vec<u8> = (0..1 << 20).map(|i| (i * 7 % 251) as u8).collect();
        let expected = bytes.clone();
        let sender = spawn(move || writer.write_all(&bytes).unwrap());
        yield_now();
        assert!(!sender.is_finished(), "a pipe holds less than 1 MiB");
        let mut got = Vec::new();
        (&reader).read_to_end(&mut got).unwrap();
        assert!(got == expected);
        sender.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_write_to_a_pipe_without_a_reader_is_an_error() {
    let write_to_closed = || {
        let (reader, mut writer) = pipe().unwrap();
        drop(reader);
        assert_eq!(writer.write(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    };
    write_to_closed();
    run(write_to_closed).unwrap();
}

#[test]
fn a_reader_that_waits_can_be_killed_and_timed_out_and_loses_no_byte() {
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let reader = Rc::new(reader);
        let waiting = reader.clone();
        let victim = spawn(move || (&*waiting).read(&mut [0; 8]));
        yield_now();
        victim.kill();
        assert!(matches!(victim.join(), Err(JoinError::Killed)));
        let late = timeout(Duration::from_millis(5), || (&*reader).read(&mut [0; 8]));
        assert_eq!(late.unwrap_err().kind(), ErrorKind::TimedOut);
        writer.write_all(b"still here").unwrap();
        let mut bytes = [0; 32];
        let n = (&*reader).read(&mut bytes).unwrap();
        assert_eq!(&bytes[..n], b"still here");
    })
    .unwrap();
}

#[test]
fn a_write_to_a_full_pipe_can_time_out() {
    run(|| {
        let (_reader, mut writer) = pipe().unwrap();
        let error = timeout(Duration::from_millis(5), || writer.write_all(&[0; 1 << 20]));
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TimedOut);
    })
    .unwrap();
}

#[test]
fn outside_a_scheduler_the_ends_are_those_of_std() {
    let (reader, mut writer) = pipe().unwrap();
    let thread = std::thread::spawn(move || {
        let mut text = String::new();
        { reader }.read_to_string(&mut text).unwrap();
        text
    });
    writer.write_all(b"from a thread").unwrap();
    drop(writer);
    assert_eq!(thread.join().unwrap(), "from a thread");
}

#[test]
fn the_ends_of_a_pipe_convert_to_std_s_and_back() {
    let (reader, writer) = pipe().unwrap();
    let mut writer = std::io::PipeWriter::from(writer);
    writer.write_all(b"ab").unwrap();
    let reader = std::io::PipeReader::from(reader);
    let reader = PipeReader::from(OwnedFd::from(reader));
    let mut byte = [0];
    (&reader).read_exact(&mut byte).unwrap();
    assert_eq!(&byte, b"a");
    drop(PipeWriter::from(writer));
    let mut rest = Vec::new();
    { reader }.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, b"b");
}

#[test]
fn a_child_process_writes_into_a_pipe_while_tasklets_run() {
    run(|| {
        let (mut reader, writer) = pipe().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "sleep 0.05; echo from the child"])
            .stdout(Stdio::from(writer))
            .spawn()
            .unwrap();
        let neighbour = spawn(|| (0..100).for_each(|_| yield_now()));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "from the child\n");
        assert!(neighbour.is_finished());
        child.wait().unwrap();
    })
    .unwrap();
}
