//! Operations on files, and opens that wait for ever.

use std::ffi::CString;
use std::io::{IoSlice, Seek, SeekFrom};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::support::{Harness, PATIENCE, everywhere};
use crate::driver::Driver;
use crate::op::{Fs, Op};
use crate::sys::errno::is_cancelled;
use crate::sys::file::status::StatBuf;
use testkit::alone;

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

/// Starts `fs` and waits for its end.
fn whole(harness: &mut Harness, fs: Fs) -> i32 {
    // SAFETY: every caller keeps descriptor and memory until this returns.
    let token = unsafe { harness.start(Op::Fs(fs)) };
    harness.end(token)
}

#[test]
fn names_come_and_go() {
    everywhere(|harness| {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| c(&folder.path().join(name));
        let (dir, a, b, link, hard) = (at("dir"), at("dir/a"), at("dir/b"), at("l"), at("dir/h"));
        let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC;
        let make = Fs::Open { path: a.as_ptr(), flags, mode: 0o600 };
        assert_eq!(whole(harness, make), -libc::ENOENT, "{}", harness.kind);
        assert_eq!(whole(harness, Fs::MakeDir { path: dir.as_ptr(), mode: 0o700 }), 0);
        assert_eq!(whole(harness, Fs::MakeDir { path: dir.as_ptr(), mode: 0o700 }), -libc::EEXIST);
        let fd = whole(harness, make);
        assert!(fd >= 0, "{}: {fd}", harness.kind);
        // SAFETY: the descriptor was just opened; no other code knows it.
        let file = unsafe { OwnedFd::from_raw_fd(fd) };
        assert_eq!(whole(harness, make), -libc::EEXIST);
        let slices = [IoSlice::new(b"some "), IoSlice::new(b"text")];
        let fd = file.as_raw_fd();
        let write =
            Fs::WriteVectored { fd, slices: slices.as_ptr().cast(), count: 2, offset: None };
        assert_eq!(whole(harness, write), 9);
        assert_eq!(whole(harness, Fs::SetLen { fd, len: 7 }), 0);
        for data_only in [false, true] {
            assert_eq!(whole(harness, Fs::Sync { fd, data_only }), 0);
        }
        let (from, to) = (a.as_ptr(), b.as_ptr());
        assert_eq!(whole(harness, Fs::Rename { from, to }), 0);
        assert_eq!(whole(harness, Fs::Link { from: to, to: hard.as_ptr() }), 0);
        let symlink = Fs::Symlink { target: c"dir/b".as_ptr(), link: link.as_ptr() };
        assert_eq!(whole(harness, symlink), 0);
        let mut out = StatBuf::default();
        let path = link.as_ptr();
        let at = libc::AT_FDCWD;
        let stat = |flags, out: &mut StatBuf| Fs::Stat { at, path, flags, out };
        assert_eq!(whole(harness, stat(0, &mut out)), 0);
        assert_eq!((out.size, out.links, u32::from(out.mode)), (7, 2, libc::S_IFREG | 0o600));
        assert_eq!(whole(harness, stat(libc::AT_SYMLINK_NOFOLLOW, &mut out)), 0);
        assert_eq!(u32::from(out.mode) & libc::S_IFMT, libc::S_IFLNK);
        let remove = |path: &CString, directory| Fs::Unlink { path: path.as_ptr(), directory };
        assert_eq!(whole(harness, remove(&dir, true)), -libc::ENOTEMPTY);
        assert_eq!(whole(harness, remove(&dir, false)), -libc::EISDIR);
        for name in [&b, &link, &hard] {
            assert_eq!(whole(harness, remove(name, false)), 0);
        }
        assert_eq!(whole(harness, remove(&dir, true)), 0);
        assert_eq!(whole(harness, remove(&dir, true)), -libc::ENOENT);
    });
}

/// Limits the size of this process's files.
fn limit_sizes(bytes: u64) {
    let limit = libc::rlimit { rlim_cur: bytes, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the call only reads from the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) }, 0);
}

/// The kernel's own cursor stays behind then, and the next write would overwrite those bytes.
#[test]
fn a_write_that_is_cut_short_moves_the_cursor_behind_what_was_written() {
    let test = "driver::tests::files::\
                a_write_that_is_cut_short_moves_the_cursor_behind_what_was_written";
    alone(test, || {
        everywhere(|harness| {
            for (append, begin) in [(false, 0), (true, 0), (false, 3)] {
                let mut options = std::fs::File::options();
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("file");
                options.write(true).append(append).create(true);
                let file = options.open(&path).unwrap();
                (&file).seek(SeekFrom::Start(begin)).unwrap();
                let fd = file.as_raw_fd();
                let bytes: Vec<u8> = (0..200).collect();
                let (mut done, mut results) = (0, Vec::new());
                limit_sizes(100);
                while done < bytes.len() {
                    let buf = bytes[done..].as_ptr();
                    let len = (bytes.len() - done).min(64) as u32;
                    let written = whole(harness, Fs::Write { fd, buf, len, offset: None });
                    results.push(written);
                    assert!(written > 0, "{}: {results:?}", harness.kind);
                    done += written as usize;
                    if written < 64 {
                        limit_sizes(libc::RLIM_INFINITY);
                    }
                }
                assert_eq!(results[1], 36 - begin as i32, "{}: {results:?}", harness.kind);
                let written = std::fs::read(&path).unwrap();
                let kind = harness.kind;
                assert!(written[begin as usize..] == bytes, "{kind} {append}: {written:?}");
                assert_eq!((&file).stream_position().unwrap(), begin + 200, "{kind} {append}");
            }
        });
    });
}

/// Calls `test` with an open that waits for ever, on a worker of the ring.
fn with_open_that_waits(test: impl Fn(&mut Harness, Op)) {
    everywhere(|harness| {
        let folder = tempfile::tempdir().unwrap();
        let path = c(&folder.path().join("fifo"));
        // SAFETY: the path ends in a zero byte.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
        // With O_CREAT the ring leaves the open to a worker from the start.
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_CLOEXEC;
        let open = Op::Fs(Fs::Open { path: path.as_ptr(), flags, mode: 0o600 });
        // The other backends open files in place.
        if harness.driver.waits_for_disks(&open) {
            test(harness, open);
        }
    });
}

#[test]
fn an_open_that_waits_for_ever_is_cancelled_at_any_moment() {
    with_open_that_waits(|harness, open| {
        for round in 0..400u32 {
            let opens = 1 + round as usize % 24;
            // SAFETY: the path lives until the operations' end.
            let tokens: Vec<_> = (0..opens).map(|_| unsafe { harness.start(open) }).collect();
            harness.turn(Duration::ZERO);
            let moment = Instant::now() + Duration::from_micros(u64::from(round * 7 % 200));
            while Instant::now() < moment {
                std::hint::spin_loop();
            }
            for &token in &tokens {
                harness.driver.cancel(token);
            }
            for token in tokens {
                let result = harness.end(token);
                assert!(is_cancelled(result), "{}: {result}", harness.kind);
            }
        }
    });
}

/// A cancel can miss an operation that a worker of the ring is just about to take up.
#[test]
fn a_cancel_that_missed_its_operation_is_repeated() {
    with_open_that_waits(|harness, open| {
        // SAFETY: the path lives until the operation's end.
        let token = unsafe { harness.start(open) };
        assert!(harness.is_waiting(token));
        let Driver::Uring(uring) = &mut harness.driver else { unreachable!("it has workers") };
        uring.cancel_in_vain(token);
        let begin = Instant::now();
        assert!(is_cancelled(harness.end(token)));
        assert!(begin.elapsed() < PATIENCE / 2, "{:?}", begin.elapsed());
    });
}
