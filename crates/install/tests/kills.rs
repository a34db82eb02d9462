//! Kills and deadlines inside calls.
#![allow(missing_docs)]
mod support;

use std::io::{self, Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use overlapped::time::timeout;
use overlapped_install::{Tasklet, spawn};
use support::{ms, run_in_tasklet, until_waits};

/// Kills a tasklet that waits in `f`, and returns the error's number.
fn killed(f: impl FnOnce() -> io::Result<usize> + 'static) -> Option<i32> {
    let tasklet: Tasklet<Option<i32>> =
        spawn(move || f().expect_err("it was killed").raw_os_error());
    until_waits(tasklet.id());
    tasklet.kill();
    tasklet.join().unwrap()
}

/// Returns calls that only a kill or a deadline ends.
fn endless() -> Vec<Box<dyn FnOnce() -> io::Result<usize>>> {
    let full = |stream: &UnixStream| {
        stream.set_nonblocking(true).unwrap();
        while (&mut &*stream).write(&[0; 65536]).is_ok() {}
        stream.set_nonblocking(false).unwrap();
    };
    vec![
        Box::new(|| {
            let (_a, mut b) = UnixStream::pair()?;
            b.read(&mut [0])
        }),
        Box::new(move || {
            let (mut a, _b) = UnixStream::pair()?;
            full(&a);
            a.write(b"x")
        }),
        Box::new(|| TcpListener::bind("127.0.0.1:0")?.accept().map(|_| 0)),
        Box::new(|| UdpSocket::bind("127.0.0.1:0")?.recv(&mut [0])),
        Box::new(|| {
            let (mut rx, _tx) = io::pipe()?;
            rx.read(&mut [0])
        }),
        Box::new(|| {
            let mut child = support::sleep_program("60").spawn()?;
            let ended = child.wait().map(|_| 0);
            child.kill()?;
            std::thread::spawn(move || child.wait()); // By a thread: the kill is pending here.
            ended
        }),
        Box::new(|| {
            // SAFETY: no descriptors.
            match unsafe { libc::poll(std::ptr::null_mut(), 0, -1) } {
                -1 => Err(io::Error::last_os_error()),
                count => Ok(count as usize),
            }
        }),
    ]
}

#[test]
fn a_kill_ends_a_call_with_ecanceled() {
    run_in_tasklet(|| {
        for (number, call) in endless().into_iter().enumerate() {
            assert_eq!(killed(call), Some(libc::ECANCELED), "call {number}");
        }
    });
}

#[test]
fn a_deadline_ends_a_call_with_etimedout() {
    run_in_tasklet(|| {
        for (number, call) in endless().into_iter().enumerate() {
            let error = timeout(ms(30), call).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ETIMEDOUT), "call {number}");
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        }
    });
}

#[test]
fn a_kill_ends_a_sleep_early() {
    run_in_tasklet(|| {
        let begin = Instant::now();
        let tasklet = spawn(|| std::thread::sleep(ms(60_000)));
        overlapped::yield_now(); // It sleeps.
        tasklet.kill();
        tasklet.join().unwrap();
        assert!(begin.elapsed() < ms(30_000));
    });
}

#[test]
fn a_tasklet_that_ignores_its_kill_lets_others_run() {
    run_in_tasklet(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let end = std::rc::Rc::new(std::cell::Cell::new(false));
        let ended = end.clone();
        let deaf = spawn(move || {
            let mut errors = 0;
            for stream in listener.incoming() {
                errors += usize::from(stream.is_err());
                if ended.get() {
                    break;
                }
            }
            errors
        });
        overlapped::yield_now(); // It accepts.
        deaf.kill();
        let ticks = support::ticks(|| std::thread::sleep(ms(100)));
        assert!(ticks > 5, "{ticks}");
        end.set(true);
        assert!(deaf.join().unwrap() > 0);
    });
}

#[test]
fn a_kill_does_not_end_the_wait_for_a_lock() {
    run_in_tasklet(|| {
        let lock = std::rc::Rc::new(std::sync::Mutex::new(0));
        let theirs = lock.clone();
        let held = lock.lock().unwrap();
        let waiting = spawn(move || *theirs.lock().unwrap());
        overlapped::yield_now(); // It waits for the lock.
        waiting.kill();
        overlapped::yield_now();
        assert!(!waiting.is_finished());
        drop(held);
        assert_eq!(waiting.join().unwrap(), 0);
    });
}

#[test]
fn what_has_come_is_not_lost_to_a_kill() {
    run_in_tasklet(|| {
        for _ in 0..200 {
            let (mut a, mut b) = UnixStream::pair().unwrap();
            let reader = spawn(move || {
                let mut bytes = [0; 4];
                let first = b.read(&mut bytes);
                (first.map_err(|error| error.raw_os_error()), b)
            });
            overlapped::yield_now();
            a.write_all(b"data").unwrap();
            reader.kill();
            let (first, mut b) = reader.join().unwrap();
            let seen = match first {
                Ok(count) => count,
                Err(number) => {
                    assert_eq!(number, Some(libc::ECANCELED));
                    b.read(&mut [0; 9]).unwrap()
                }
            };
            assert_eq!(seen, 4);
        }
    });
}

#[test]
fn what_waits_for_a_disk_alone_is_done_after_a_kill_and_a_deadline_too() {
    use std::os::unix::fs::FileExt;
    fn write_all(path: &std::path::Path) -> io::Result<()> {
        let mut file = std::fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        file.write_all(b"one ")?;
        assert_eq!(file.write(b"")?, 0);
        let slices = [io::IoSlice::new(b"two"), io::IoSlice::new(b" ")];
        assert_eq!(file.write_vectored(&slices)?, 4);
        file.write_all_at(b"ONE", 0)?;
        file.sync_all()?;
        file.sync_data()?;
        file.set_len(8)?;
        assert_eq!(file.read_at(&mut [0; 9], 0)?, 8);
        // The buffer's destructor writes this.
        let mut buffered = io::BufWriter::new(file);
        buffered.write_all(b"three")
    }
    run_in_tasklet(|| {
        let path = support::path("killed");
        let theirs = path.clone();
        let tasklet = spawn(move || {
            while !overlapped::task::is_killed() {
                std::thread::sleep(ms(1));
            }
            write_all(&theirs)
        });
        overlapped::yield_now(); // It has begun.
        tasklet.kill();
        tasklet.join().unwrap().unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ONE two three");
        let path = support::path("late");
        timeout(ms(1), || {
            std::thread::sleep(ms(5));
            write_all(&path)
        })
        .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"ONE two three");
    });
}
