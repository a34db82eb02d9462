//! `io::copy`: the same effect as std's, on this library's streams and on all other types.

mod moving;
mod support;

use std::cell::Cell;
use std::io::{
    BufRead, BufReader, BufWriter, Cursor, ErrorKind, Read, Seek, SeekFrom, Take, Write,
};
use std::net::Shutdown;
use std::rc::Rc;
use std::time::Duration;

use moving::pattern;
use overlapped::fs::{self, File};
use overlapped::io::{PipeReader, copy, pipe};
use overlapped::net::TcpStream;
use overlapped::time::timeout;
use overlapped::{Tasklet, run, spawn};
use support::pair;

/// Returns a socket that delivers `bytes` and then its end.
fn feeding(bytes: &[u8]) -> TcpStream {
    let (from, mut peer) = pair();
    let bytes = bytes.to_vec();
    spawn(move || peer.write_all(&bytes));
    from
}

/// Returns a socket, and a tasklet that returns all bytes written to it.
fn collecting() -> (TcpStream, Tasklet<Vec<u8>>) {
    let (to, mut peer) = pair();
    let reader = spawn(move || {
        let mut bytes = Vec::new();
        peer.read_to_end(&mut bytes).unwrap();
        bytes
    });
    (to, reader)
}

#[test]
fn all_bytes_are_copied_with_every_wrapper_around_the_streams() {
    let whole = pattern(500_000);
    type Copying = fn(TcpStream, TcpStream) -> std::io::Result<u64>;
    let ways: [(&str, Copying); 9] = [
        ("plain", |mut from, mut to| copy(&mut from, &mut to)),
        ("shared", |from, to| copy(&mut &from, &mut &to)),
        ("exclusive", |mut from, mut to| copy(&mut &mut from, &mut &mut to)),
        ("buffered", |from, to| copy(&mut BufReader::new(from), &mut BufWriter::new(to))),
        ("shared and buffered", |from, to| {
            copy(&mut BufReader::new(&from), &mut BufWriter::new(&to))
        }),
        ("to a trait object", |mut from, mut to| copy(&mut from, &mut to as &mut dyn Write)),
        ("from a trait object", |mut from, mut to| copy(&mut from as &mut dyn Read, &mut to)),
        ("boxed", |from, to| {
            copy(&mut (Box::new(from) as Box<dyn Read>), &mut (Box::new(to) as Box<dyn Write>))
        }),
        ("by std", |mut from, mut to| std::io::copy(&mut from, &mut to)),
    ];
    run(|| {
        for (way, copying) in ways {
            let (to, collected) = collecting();
            let copied = copying(feeding(&whole), to).unwrap();
            assert_eq!(copied, whole.len() as u64, "{way}");
            assert!(collected.join().unwrap() == whole, "{way}");
        }
    })
    .unwrap();
}

#[test]
fn bytes_in_a_buffer_come_first() {
    let whole = pattern(300_000);
    run(|| {
        let (to, collected) = collecting();
        let mut from = BufReader::with_capacity(10_000, feeding(&whole));
        let mut to = BufWriter::with_capacity(10_000, to);
        to.write_all(b"head").unwrap();
        let mut first = [0; 5];
        from.read_exact(&mut first).unwrap();
        assert!(!from.buffer().is_empty());
        assert_eq!(copy(&mut from, &mut to).unwrap(), 299_995);
        assert!(from.fill_buf().unwrap().is_empty());
        drop(to);
        let got = collected.join().unwrap();
        assert!(got[..4] == *b"head" && got[4..] == whole[5..]);
    })
    .unwrap();
}

#[test]
fn take_ends_a_copy_and_its_rest_is_counted() {
    let whole = pattern(300_000);
    run(|| {
        let (mut to, collected) = collecting();
        let mut from: Take<TcpStream> = feeding(&whole).take(250_000);
        assert_eq!(copy(&mut from, &mut to).unwrap(), 250_000);
        assert_eq!(from.limit(), 0);
        from.set_limit(60_000);
        assert_eq!(copy(&mut from, &mut to).unwrap(), 50_000);
        assert_eq!(from.limit(), 10_000);
        drop(to);
        assert!(collected.join().unwrap() == whole);
    })
    .unwrap();
}

#[test]
fn pipes_and_sockets_mix() {
    let whole = pattern(300_000);
    run(|| {
        let (reader, mut writer) = pipe().unwrap();
        let mut from = feeding(&whole);
        let first = spawn(move || copy(&mut from, &mut writer).unwrap());
        let (mut to, collected) = collecting();
        assert_eq!(copy(&mut &reader, &mut to).unwrap(), 300_000);
        drop(to);
        assert_eq!(first.join().unwrap(), 300_000);
        assert!(collected.join().unwrap() == whole);
    })
    .unwrap();
}

#[test]
fn files_are_copied_at_their_cursors() {
    let whole = pattern(300_000);
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (folder.path().join("one"), folder.path().join("other"));
    run(|| {
        fs::write(&one, &whole).unwrap();
        let (mut from, mut to) = (File::open(&one).unwrap(), File::create(&other).unwrap());
        from.seek(SeekFrom::Start(1_000)).unwrap();
        to.write_all(b"head").unwrap();
        assert_eq!(copy(&mut BufReader::new(&from), &mut BufWriter::new(&to)).unwrap(), 299_000);
        assert_eq!(from.stream_position().unwrap(), 300_000);
        assert_eq!(to.stream_position().unwrap(), 299_004);
        let copied = fs::read(&other).unwrap();
        assert!(copied[..4] == *b"head" && copied[4..] == whole[1_000..]);
        let (mut to, collected) = collecting();
        from.rewind().unwrap();
        assert_eq!(copy(&mut from, &mut to).unwrap(), 300_000);
        drop(to);
        assert!(collected.join().unwrap() == whole);
        let mut to = File::create(&other).unwrap();
        assert_eq!(copy(&mut feeding(&whole), &mut to).unwrap(), 300_000);
        assert!(fs::read(&other).unwrap() == whole);
        let mut appended = File::options().append(true).open(&other).unwrap();
        from.rewind().unwrap();
        assert_eq!(copy(&mut from, &mut appended).unwrap(), 300_000);
        assert!(fs::read(&other).unwrap() == [&whole[..], &whole].concat());
    })
    .unwrap();
}

#[test]
fn several_copies_at_one_cursor_get_every_byte_once() {
    // Clones share the cursor: no byte is copied twice, and none is left out.
    let whole = pattern(5_000_000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    std::fs::write(&path, &whole).unwrap();
    run(|| {
        let from = File::open(&path).unwrap();
        let copies: Vec<_> = (0..8)
            .map(|copier| {
                let mut from = from.try_clone().unwrap();
                let (mut to, collected) = collecting();
                let mover = spawn(move || match copier % 2 {
                    0 => copy(&mut from, &mut to).unwrap(),
                    _ => std::io::copy(&mut from, &mut to).unwrap(),
                });
                (mover, collected)
            })
            .collect();
        let mut counts = [0usize; 256];
        let mut total = 0;
        for (mover, collected) in copies {
            total += mover.join().unwrap();
            for byte in collected.join().unwrap() {
                counts[usize::from(byte)] += 1;
            }
        }
        assert_eq!(total, whole.len() as u64);
        let mut expected = [0usize; 256];
        whole.iter().for_each(|&byte| expected[usize::from(byte)] += 1);
        assert!(counts == expected);
    })
    .unwrap();
}

#[test]
fn a_file_copied_to_a_handle_of_its_own_ends() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    run(|| {
        fs::write(&path, pattern(100_000)).unwrap();
        let from = File::options().read(true).write(true).open(&path).unwrap();
        let mut to = from.try_clone().unwrap();
        let copied = timeout(Duration::from_secs(5), || copy(&mut (&from).take(10), &mut to));
        assert!(copied.is_ok_and(|copied| copied <= 10));
    })
    .unwrap();
}

#[test]
fn other_readers_and_writers_are_read_and_written() {
    struct Shouting<R>(R, Rc<Cell<usize>>);
    impl<R: Read> Read for Shouting<R> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            if self.1.get().is_multiple_of(3) {
                self.1.set(self.1.get() + 1);
                return Err(ErrorKind::Interrupted.into());
            }
            self.1.set(self.1.get() + 1);
            let n = self.0.read(buf)?;
            buf[..n].make_ascii_uppercase();
            Ok(n)
        }
    }
    run(|| {
        let text = b"quietly ".repeat(20_000);
        let (mut to, collected) = collecting();
        let calls = Rc::new(Cell::new(0));
        let copied = copy(&mut Shouting(feeding(&text), calls.clone()), &mut to).unwrap();
        assert_eq!(copied, text.len() as u64);
        assert!(calls.get() > 2);
        drop(to);
        assert!(collected.join().unwrap() == text.to_ascii_uppercase());
        let mut memory = Vec::new();
        assert_eq!(copy(&mut Cursor::new(&text), &mut memory).unwrap(), text.len() as u64);
        assert!(memory == text);
    })
    .unwrap();
}

#[test]
fn modes_and_limits_of_the_streams_count() {
    run(|| {
        let ((mut from, _peer), (mut to, _other)) = (pair(), pair());
        from.set_nonblocking(true).unwrap();
        let kind = |result: std::io::Result<u64>| result.unwrap_err().kind();
        assert_eq!(kind(copy(&mut from, &mut to)), ErrorKind::WouldBlock);
        from.set_nonblocking(false).unwrap();
        from.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        assert_eq!(kind(copy(&mut from, &mut to)), ErrorKind::WouldBlock);
        from.set_read_timeout(None).unwrap();
        let late = timeout(Duration::from_millis(5), || copy(&mut from, &mut to));
        assert_eq!(kind(late), ErrorKind::TimedOut);
        to.set_write_timeout(Some(Duration::from_millis(5))).unwrap();
        let mut endless = feeding(&pattern(40_000_000));
        assert_eq!(kind(copy(&mut endless, &mut to)), ErrorKind::WouldBlock);
        let (mut from, mut peer) = pair();
        to.shutdown(Shutdown::Write).unwrap();
        peer.write_all(b"x").unwrap();
        let error = copy(&mut from, &mut to).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
    })
    .unwrap();
}

#[test]
fn outside_a_scheduler_it_is_std_s() {
    let (mut reader, mut writer): (PipeReader, _) = pipe().unwrap();
    let thread = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        copy(&mut reader, &mut bytes).unwrap();
        bytes
    });
    assert_eq!(copy(&mut &b"to a thread"[..], &mut writer).unwrap(), 11);
    drop(writer);
    assert_eq!(thread.join().unwrap(), b"to a thread");
}
