//! Calls of C's stdio that read: tasklets are compared with threads.
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::ffi::{c_char, c_int, c_void};
use std::io::Write;
use std::os::fd::IntoRawFd;
use std::os::unix::net::UnixStream;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;

use libc::FILE;
use overlapped_install::spawn;
use support::{LONG, Turns, ms, run_in_tasklet, until_waits};

unsafe extern "C" {
    fn getline(text: *mut *mut c_char, room: *mut usize, stream: *mut FILE) -> isize;
    fn getdelim(text: *mut *mut c_char, room: *mut usize, end: c_int, stream: *mut FILE) -> isize;
    fn getc(stream: *mut FILE) -> c_int;
    fn flockfile(stream: *mut FILE);
    fn funlockfile(stream: *mut FILE);
    fn __fgets_chk(text: *mut c_char, room: usize, size: c_int, stream: *mut FILE) -> *mut c_char;
    fn __fread_chk(
        buf: *mut c_void,
        room: usize,
        size: usize,
        count: usize,
        stream: *mut FILE,
    ) -> usize;
}

/// A stream over one end of a pair of sockets.
struct Stream(*mut FILE);

// SAFETY: streams of C's have locks.
unsafe impl Send for Stream {}
// SAFETY: as above.
unsafe impl Sync for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        // SAFETY: opened once, and closed once.
        unsafe { libc::fclose(self.0) };
    }
}

impl Stream {
    fn new(socket: UnixStream) -> Stream {
        // SAFETY: a descriptor that becomes the stream's.
        let stream = unsafe { libc::fdopen(socket.into_raw_fd(), c"r+".as_ptr()) };
        assert!(!stream.is_null());
        Stream(stream)
    }

    fn pair() -> (UnixStream, Stream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (ours, Stream::new(theirs))
    }

    fn state(&self) -> (bool, bool) {
        // SAFETY: a stream.
        unsafe { (libc::feof(self.0) != 0, libc::ferror(self.0) != 0) }
    }

    fn fread(&self, size: usize, count: usize) -> String {
        let mut room = vec![0_u8; size * count + 1];
        // SAFETY: room for all.
        let read = unsafe { libc::fread(room.as_mut_ptr().cast(), size, count, self.0) };
        format!("fread {read} {:?} {:?}", text(&room[..read * size]), self.state())
    }

    fn fgets(&self, size: usize) -> String {
        let mut room = vec![0xff_u8; size.max(1)];
        let (place, len) = (room.as_mut_ptr().cast(), size as c_int);
        // SAFETY: room for all.
        let got = unsafe { libc::fgets(place, len, self.0) };
        let all = room.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
        format!("fgets {} {:?} {:?}", !got.is_null(), text(&room[..all]), self.state())
    }

    fn getdelim(&self, end: u8) -> String {
        let (mut line, mut room) = (null_mut(), 0);
        // SAFETY: a line that is allocated, and freed.
        let (len, got) = unsafe {
            let len = match end {
                b'\n' => getline(&mut line, &mut room, self.0),
                end => getdelim(&mut line, &mut room, end.into(), self.0),
            };
            let bytes = std::slice::from_raw_parts(line.cast::<u8>(), len.max(0) as usize);
            let got = text(bytes);
            assert!(len < 0 || *line.add(len as usize) == 0);
            assert!(room > len.max(0) as usize);
            libc::free(line.cast());
            (len, got)
        };
        format!("getdelim {len} {got:?} {:?}", self.state())
    }

    fn getc(&self) -> String {
        // SAFETY: a stream.
        format!("getc {} {:?}", unsafe { getc(self.0) }, self.state())
    }

    fn put_back(&self, byte: u8) -> String {
        // SAFETY: a stream.
        format!("ungetc {}", unsafe { libc::ungetc(byte.into(), self.0) })
    }

    fn set_buffer(&self, mode: c_int, size: usize) {
        // SAFETY: libc's own buffer.
        assert_eq!(unsafe { libc::setvbuf(self.0, null_mut(), mode, size) }, 0);
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Returns the results of calls on a stream whose peer writes `parts`, one after another, and
/// closes.
fn results(parts: Vec<Vec<u8>>, calls: fn(&Stream) -> Vec<String>) -> Vec<String> {
    let both = move || {
        let parts = parts.clone();
        let (mut ours, stream) = Stream::pair();
        let writer = thread::spawn(move || {
            for part in parts {
                thread::sleep(ms(3));
                ours.write_all(&part).unwrap();
            }
        });
        let results = calls(&stream);
        writer.join().unwrap();
        results
    };
    let by_tasklet = both.clone();
    let thread = thread::spawn(both).join().unwrap();
    let tasklet = run_in_tasklet(by_tasklet);
    assert_eq!(tasklet, thread);
    tasklet
}

fn parts(all: &[&[u8]]) -> Vec<Vec<u8>> {
    all.iter().map(|part| part.to_vec()).collect()
}

#[test]
fn lines_that_come_in_parts_are_whole() {
    let said = [&b"a li"[..], b"ne\nan", b"other\n\nwith \0 a zero\nno end"];
    let lines = results(parts(&said), |stream| (0..7).map(|_| stream.getdelim(b'\n')).collect());
    assert!(lines[0].contains("a line\\n"), "{lines:?}");
    results(parts(&said), |stream| (0..8).map(|_| stream.fgets(9)).collect());
    results(parts(&said), |stream| (0..7).map(|_| stream.fgets(100)).collect());
    results(parts(&said), |stream| (0..7).map(|_| stream.getdelim(b' ')).collect());
    results(parts(&said), |stream| (0..60).map(|_| stream.getc()).collect());
    results(parts(&said), |stream| (0..9).map(|_| stream.fread(3, 4)).collect());
    results(parts(&said), |stream| vec![stream.fread(1, 0), stream.fread(0, 1), stream.fgets(1)]);
}

#[test]
fn what_is_longer_than_the_buffer_is_read_in_one_call() {
    let long: Vec<u8> = (0..30_000_u32).map(|number| b'a' + (number % 26) as u8).collect();
    let said = vec![long[..10_000].to_vec(), long[10_000..].to_vec(), b"\nrest".to_vec()];
    results(said.clone(), |stream| vec![stream.getdelim(b'\n'), stream.getdelim(b'\n')]);
    results(said.clone(), |stream| vec![stream.fgets(40_000), stream.fgets(40_000)]);
    results(said.clone(), |stream| vec![stream.fread(1, 29_999), stream.fread(1, 40_000)]);
    results(said, |stream| {
        stream.set_buffer(libc::_IOFBF, 64);
        vec![stream.getc(), stream.getdelim(b'\n'), stream.fread(1, 2), stream.getdelim(b'\n')]
    });
}

#[test]
fn streams_without_a_buffer_and_bytes_that_were_put_back_are_as_ever() {
    let said = [&b"ab"[..], b"cd\ne", b"f\n"];
    results(parts(&said), |stream| {
        stream.set_buffer(libc::_IONBF, 0);
        vec![stream.getc(), stream.getdelim(b'\n'), stream.fread(1, 2), stream.fgets(10)]
    });
    results(parts(&said), |stream| {
        // The bytes put back differ from those read, before the first and in the middle.
        let first = [stream.put_back(b'x'), stream.getc(), stream.getc(), stream.put_back(b'y')];
        let more =
            [stream.getc(), stream.put_back(b'z'), stream.fread(1, 3), stream.put_back(b'w')];
        first.into_iter().chain(more).chain((0..4).map(|_| stream.getdelim(b'\n'))).collect()
    });
}

#[test]
fn fortified_calls_do_the_same() {
    run_in_tasklet(|| {
        let (mut ours, stream) = Stream::pair();
        let writer = thread::spawn(move || {
            for part in [&b"li"[..], b"ne\n1", b"23"] {
                thread::sleep(ms(3));
                ours.write_all(part).unwrap();
            }
        });
        let mut room = [0_u8; 16];
        // SAFETY: room of the size that is told.
        unsafe {
            let place = room.as_mut_ptr();
            let got = __fgets_chk(place.cast(), 16, 16, stream.0);
            assert_eq!((got.cast::<u8>(), &room[..6]), (place, &b"line\n\0"[..]));
            assert_eq!(__fread_chk(room.as_mut_ptr().cast(), 16, 1, 3, stream.0), 3);
        }
        assert_eq!(&room[..3], b"123");
        writer.join().unwrap();
    });
}

#[test]
fn neighbours_read_the_same_stream_line_by_line() {
    let (mut ours, stream) = Stream::pair();
    let lines = Mutex::new(Vec::new());
    run_in_tasklet(|| {
        overlapped_install::scope(|s| {
            for _ in 0..4 {
                s.spawn(|| {
                    for _ in 0..25 {
                        let line = stream.getdelim(b'\n');
                        lines.lock().unwrap().push(line);
                    }
                });
            }
            s.spawn(|| {
                for number in 0..100 {
                    ours.write_all(b"line ").unwrap();
                    thread::yield_now();
                    ours.write_all(format!("{number:03}\n").as_bytes()).unwrap();
                }
            });
        });
    });
    let mut lines = lines.into_inner().unwrap();
    lines.sort();
    for (number, line) in lines.iter().enumerate() {
        assert!(line.contains(&format!("9 \"line {number:03}\\n\"")), "{line}");
    }
    assert_eq!(lines.len(), 100);
}

#[test]
fn a_stream_that_a_thread_or_a_neighbour_has_locked_blocks_the_tasklet_alone() {
    support::install(); // It takes a while, which must not count towards the thread's limit below.
    let (mut ours, stream) = Stream::pair();
    ours.write_all(b"one\ntwo\n").unwrap();
    static HOLDS: AtomicBool = AtomicBool::new(false);
    let turns = Turns::default();
    thread::scope(|threads| {
        let stream = &stream;
        threads.spawn(|| {
            // SAFETY: a stream, locked and unlocked by this thread.
            unsafe { flockfile(stream.0) };
            HOLDS.store(true, SeqCst);
            turns.wait_for(5, LONG);
            // SAFETY: as above.
            unsafe { funlockfile(stream.0) };
        });
        while !HOLDS.load(SeqCst) {
            thread::yield_now();
        }
        run_in_tasklet(|| {
            let ticks = turns.count_during(|| assert!(stream.getdelim(b'\n').contains("one")));
            assert!(ticks > 3, "{ticks}");
            // SAFETY: a stream, locked and unlocked by the same tasklet.
            unsafe { flockfile(stream.0) };
            let has_read = Cell::new(false);
            overlapped_install::scope(|s| {
                let reader = s.spawn(|| {
                    let line = stream.getdelim(b'\n');
                    has_read.set(true);
                    line
                });
                thread::yield_now(); // It waits for the lock.
                assert!(!has_read.get());
                // SAFETY: as above.
                unsafe { funlockfile(stream.0) };
                assert!(reader.join().unwrap().contains("two"));
            });
        });
    });
}

#[test]
fn a_neighbour_has_its_turn_while_the_stream_is_free() {
    let (mut ours, stream) = Stream::pair();
    ours.write_all(&[b'x'; 2000]).unwrap();
    run_in_tasklet(|| {
        // A call that blocks the thread would do so for ever.
        overlapped_install::scope(|s| {
            s.spawn(|| (0..2000).for_each(|_| assert!(stream.getc().starts_with("getc 120"))));
            s.spawn(|| {
                for _ in 0..100 {
                    assert_eq!(stream.state(), (false, false));
                    thread::yield_now();
                }
            });
        });
    });
}

#[test]
fn what_was_written_is_sent_before_the_answer_is_waited_for() {
    let ask = || {
        let (ours, stream) = Stream::pair();
        let answers = thread::spawn(move || {
            let other = Stream::new(ours);
            assert!(other.getdelim(b'\n').contains("question"));
            // SAFETY: a text and a stream.
            unsafe { libc::fputs(c"answer\n".as_ptr(), other.0) };
        });
        // SAFETY: as above.
        unsafe { libc::fputs(c"question\n".as_ptr(), stream.0) };
        let answer = stream.getdelim(b'\n');
        answers.join().unwrap();
        answer
    };
    let thread = thread::spawn(ask).join().unwrap();
    assert!(thread.contains("answer"));
    assert_eq!(run_in_tasklet(ask), thread);
}

#[test]
fn a_kill_is_an_error_of_the_stream() {
    run_in_tasklet(|| {
        let (_ours, stream) = Stream::pair();
        let reader = spawn(move || {
            let read = stream.fread(1, 1);
            (read, std::io::Error::last_os_error().raw_os_error())
        });
        until_waits(reader.id());
        reader.kill();
        let killed = reader.join().unwrap();
        assert_eq!(killed.1, Some(libc::ECANCELED));
        assert!(killed.0.contains("(false, true)"), "{killed:?}");
        let (_ours, stream) = Stream::pair();
        let late = overlapped::time::timeout(ms(5), || {
            let line = stream.getdelim(b'\n');
            (line, std::io::Error::last_os_error().raw_os_error())
        });
        assert_eq!(late.1, Some(libc::ETIMEDOUT));
        assert!(late.0.contains("-1") && late.0.contains("(false, true)"), "{late:?}");
    });
}
