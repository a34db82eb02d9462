//! P15: opens that wait for ever delay no other open, and can be killed.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use overlapped::fs::{self, File, OpenOptions};
use overlapped::time::{sleep, timeout};
use overlapped::{JoinError, run, spawn, yield_now};
use support::wait_until;

mod support;

fn fifo(path: PathBuf) -> PathBuf {
    let c = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends in a zero byte.
    assert_eq!(unsafe { libc::mkfifo(c.as_ptr(), 0o600) }, 0);
    path
}

fn to_write(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

/// Tells whether a reader has the FIFO open, or is about to.
fn has_reader(path: &Path) -> bool {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).custom_flags(libc::O_NONBLOCK).open(path).is_ok()
}

fn has_writer(path: &Path) -> bool {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.read(true).custom_flags(libc::O_NONBLOCK).open(path).unwrap();
    // A FIFO that is empty and has no writer is at its end.
    file.read(&mut [0]).is_err()
}

#[test]
fn p15_a_thousand_opens_that_wait_hold_up_no_other_and_can_be_killed() {
    const OPENS: usize = 1_000;
    let rounds = support::rounds(1, 20);
    let mut slowest = Duration::ZERO;
    let mut checks = 0;
    for _ in 0..rounds {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        std::fs::write(&other, "there").unwrap();
        let fifos: Vec<_> =
            (0..100).map(|i| fifo(folder.path().join(format!("fifo{i}")))).collect();
        run(|| {
            let waiters: Vec<_> = (0..OPENS)
                .map(|i| {
                    let path = fifos[i % fifos.len()].clone();
                    // All tasklets of one FIFO read, or all of them write.
                    spawn(move || if i % 2 == 0 { File::open(path) } else { to_write(&path) })
                })
                .collect();
            yield_now();
            let begin = Instant::now();
            let mut text = String::new();
            File::open(&other).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "there");
            assert_eq!(fs::metadata(&other).unwrap().len(), 5);
            fs::write(folder.path().join("new"), "made").unwrap();
            slowest = slowest.max(begin.elapsed());
            // All of them have begun: the last ones can be observed from outside.
            wait_until("both are open", || has_reader(&fifos[98]) && has_writer(&fifos[99]));
            let begin = Instant::now();
            waiters.iter().for_each(|waiter| waiter.kill());
            for (i, waiter) in waiters.into_iter().enumerate() {
                // Opening the last two has let their waiters go on.
                let may_be_open = i % fifos.len() >= 98;
                match waiter.join() {
                    Err(JoinError::Killed) => {}
                    Ok(Ok(_)) if may_be_open => {}
                    other => panic!("open {i}: {other:?}"),
                }
                checks += 1;
            }
            assert!(
                begin.elapsed() < support::within(Duration::from_secs(5)),
                "{:?}",
                begin.elapsed()
            );
            // No open is left in a queue of the kernel.
            wait_until("no reader is left", || {
                !fifos.iter().step_by(2).any(|fifo| has_reader(fifo))
            });
            wait_until("no writer is left", || {
                !fifos.iter().skip(1).step_by(2).any(|fifo| has_writer(fifo))
            });
        })
        .unwrap();
    }
    assert!(slowest < support::within(Duration::from_millis(100)), "another file took {slowest:?}");
    support::report("P15", checks, &format!("another file's open, stat and write: {slowest:.1?}"));
}

#[test]
fn both_sides_of_a_fifo_wait_for_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path().join("fifo"));
    run(|| {
        for reader_first in [true, false] {
            let reading = {
                let path = path.clone();
                move || {
                    let mut text = String::new();
                    File::open(path).unwrap().read_to_string(&mut text).unwrap();
                    text
                }
            };
            let writing = {
                let path = path.clone();
                move || {
                    to_write(&path).unwrap().write_all(b"through").unwrap();
                    String::new()
                }
            };
            let (one, two) = if reader_first {
                let one = spawn(reading);
                sleep(Duration::from_millis(10));
                (one, spawn(writing))
            } else {
                let one = spawn(writing);
                sleep(Duration::from_millis(10));
                (one, spawn(reading))
            };
            assert_eq!(one.join().unwrap() + &two.join().unwrap(), "through");
        }
    })
    .unwrap();
}

/// A waiting writer goes on as soon as the reader begins to open, and may be gone before the reader
/// has begun to wait.
#[test]
fn a_reader_gets_the_bytes_of_a_writer_that_left_while_it_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path().join("fifo"));
    for round in 0..support::rounds(100, 5_000) {
        let writer = {
            let path = path.clone();
            std::thread::spawn(move || std::fs::write(path, "hello").unwrap())
        };
        if round % 2 == 0 {
            std::thread::sleep(Duration::from_micros(200));
        }
        let text = run(|| {
            timeout(Duration::from_secs(30), || {
                let mut text = String::new();
                File::open(&path)?.read_to_string(&mut text).map(|_| text)
            })
        });
        assert_eq!(text.unwrap().unwrap(), "hello", "in round {round}");
        writer.join().unwrap();
    }
}

/// A copy inspects its source on another thread, before it waits for a writer.
#[test]
fn a_copy_of_a_fifo_ends_though_its_writer_left_while_it_was_inspected() {
    let folder = tempfile::tempdir().unwrap();
    let (path, to) = (fifo(folder.path().join("fifo")), folder.path().join("to"));
    run(|| {
        let copying = {
            let (path, to) = (path.clone(), to.clone());
            spawn(move || timeout(Duration::from_secs(20), || fs::copy(path, to)))
        };
        yield_now();
        // Blocks this thread, and so the copy, until a reader has the FIFO open.
        std::fs::write(&path, "").unwrap();
        // std, too, waits for a writer and then returns this error for a FIFO.
        let error = copying.join().unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput, "{error}");
    })
    .unwrap();
    assert!(!to.exists());
}

#[test]
fn an_open_that_waits_obeys_a_deadline_and_leaves_no_descriptor_half_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path().join("fifo"));
    run(|| {
        for _ in 0..5 {
            let begin = Instant::now();
            let late = timeout(Duration::from_millis(20), || File::open(&path));
            assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
            assert!(begin.elapsed() < support::within(Duration::from_secs(2)));
            assert!(!has_reader(&path), "a reader stayed behind");
        }
    })
    .unwrap();
}

#[test]
fn devices_open_and_are_not_mistaken_for_files() {
    run(|| {
        let mut zero = File::open("/dev/zero").unwrap();
        let mut bytes = [1; 100];
        zero.read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0; 100]);
        // The name of a link does not show that it leads to a device.
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        let mut bytes = [1; 100];
        File::open(&link).unwrap().read_exact(&mut bytes).unwrap();
        assert_eq!(bytes, [0; 100]);
        let mut null = File::create("/dev/null").unwrap();
        null.write_all(b"nothing").unwrap();
        assert_eq!(
            fs::copy("Cargo.toml", "/dev/null").unwrap(),
            std::fs::metadata("Cargo.toml").unwrap().len()
        );
        let error = fs::copy("/dev/zero", "/dev/null").unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    })
    .unwrap();
}

#[test]
fn a_tasklet_that_unwinds_does_not_wait_for_the_other_side() {
    let folder = tempfile::tempdir().unwrap();
    let path = fifo(folder.path().join("fifo"));
    struct Opens(PathBuf, std::sync::mpsc::Sender<std::io::Result<()>>);
    impl Drop for Opens {
        fn drop(&mut self) {
            self.1.send(to_write(&self.0).map(drop)).unwrap();
            self.1.send(std::fs::write(self.0.with_extension("x"), "")).unwrap();
            self.1.send(fs::write(self.0.with_extension("y"), "in place")).unwrap();
        }
    }
    let (tx, rx) = std::sync::mpsc::channel();
    run(|| {
        let unwinding = spawn(move || {
            let _opens = Opens(path, tx);
            support::quiet_panic(());
        });
        assert!(unwinding.join().is_err());
    })
    .unwrap();
    assert_eq!(rx.recv().unwrap().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    rx.recv().unwrap().unwrap();
    rx.recv().unwrap().unwrap();
    assert_eq!(std::fs::read(folder.path().join("fifo.y")).unwrap(), b"in place");
}
