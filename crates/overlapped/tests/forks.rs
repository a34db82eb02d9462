//! Children of fork(2): a child has no scheduler and none of its parent's threads, and can begin
//! anew.

use std::ffi::CString;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use overlapped::fs::{self, File};
use overlapped::task::{PauseError, Stall, in_tasklet, unblock, wait_any};
use overlapped::time::sleep;
use overlapped::{Builder, Channel, Config, JoinError, Select, run, scope, spawn, yield_now};

fn fifo(path: PathBuf) -> PathBuf {
    let c = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: a path that ends in a zero byte.
    assert_eq!(unsafe { libc::mkfifo(c.as_ptr(), 0o600) }, 0);
    path
}

/// Runs `f` in a child of fork(2), which must come to its end.
fn in_a_child(f: impl FnOnce()) {
    // SAFETY: the child starts threads and allocates, which the C libraries of Linux allow after a
    // fork, and ends here; it uses nothing that other threads of the parent may have locked.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let ended = catch_unwind(AssertUnwindSafe(f));
        // SAFETY: ends this process, whose other copies of things belong to the parent.
        unsafe { libc::_exit(i32::from(ended.is_err())) };
    }
    assert_eq!(end_of(child), 0, "the child did not come to its end");
}

/// Waits for a child, and kills it if it does not come to its end. Returns its status.
fn end_of(child: libc::pid_t) -> i32 {
    let late = Instant::now() + Duration::from_secs(30);
    let mut status = -1;
    // SAFETY: a child of ours and a place for its status.
    while unsafe { libc::waitpid(child, &raw mut status, libc::WNOHANG) } == 0 {
        if Instant::now() > late {
            // SAFETY: a child of ours that has not been waited for.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    status
}

/// Uses a thread of the pool, and one for calls that may wait for ever.
fn use_threads(folder: &Path, name: &str) {
    let (from, to) = (folder.join("from"), folder.join(name));
    assert_eq!(fs::copy(&from, &to).unwrap(), 5);
    let path = fifo(folder.join(format!("{name}-fifo")));
    let reader = {
        let path = path.clone();
        spawn(move || {
            let mut text = String::new();
            File::open(path).unwrap().read_to_string(&mut text).unwrap();
            text
        })
    };
    let mut options = fs::OpenOptions::new();
    options.write(true).open(&path).unwrap().write_all(b"through").unwrap();
    assert_eq!(reader.join().unwrap(), "through");
}

#[test]
fn a_child_has_threads_of_its_own_although_its_parent_had_some() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("from"), "there").unwrap();
    run(|| {
        use_threads(folder.path(), "parent");
        // One thread is busy and all others are idle. The child has none of them.
        let (go, goes) = std::sync::mpsc::channel::<()>();
        let (begins, begun) = std::sync::mpsc::channel();
        let busy = spawn(move || {
            unblock(move || {
                begins.send(()).unwrap();
                goes.recv().is_err()
            })
        });
        overlapped::yield_now();
        begun.recv().unwrap();
        in_a_child(|| {
            assert!(!in_tasklet(), "no scheduler is left");
            run(|| use_threads(folder.path(), "child")).unwrap();
        });
        drop(go);
        assert!(busy.join().unwrap().unwrap());
        use_threads(folder.path(), "parent-again");
    })
    .unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("child")).unwrap(), "there");
}

#[test]
fn a_child_is_watched_although_its_parent_was() {
    static STALLS: AtomicUsize = AtomicUsize::new(0);
    fn on_stall(_: &Stall) -> bool {
        STALLS.fetch_add(1, Relaxed);
        false
    }
    fn run_watched(f: impl FnOnce()) {
        let config = Config::new().stall_limit(Duration::from_millis(20)).on_stall(on_stall);
        config.run(f).unwrap();
    }
    fn stall() {
        let (before, late) = (STALLS.load(Relaxed), Instant::now() + Duration::from_secs(20));
        while STALLS.load(Relaxed) == before {
            assert!(Instant::now() < late, "nothing watches this process");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    run_watched(|| {
        stall();
        in_a_child(|| run_watched(stall));
        stall();
    });
}

#[test]
fn a_child_has_dumps_of_its_own_although_its_parent_had_some() {
    fn run_with_dumps(f: impl FnOnce()) {
        Config::new().dump_on(libc::SIGUSR1).run(f).unwrap();
    }
    run_with_dumps(|| {
        in_a_child(|| {
            let (mut reader, writer) = overlapped::io::pipe().unwrap();
            // SAFETY: descriptors. Dumps go to standard error.
            assert_eq!(unsafe { libc::dup2(writer.as_raw_fd(), 2) }, 2);
            run_with_dumps(move || {
                let name = "of the child".to_owned();
                let reads = Builder::new().name(name).spawn(move || {
                    let (mut text, mut part) = (String::new(), [0; 4096]);
                    while !text.contains("'of the child'") {
                        let len = reader.read(&mut part).unwrap();
                        text.push_str(&String::from_utf8_lossy(&part[..len]));
                    }
                });
                let reads = reads.unwrap();
                while !reads.is_finished() {
                    // SAFETY: the signal has a handler.
                    assert_eq!(unsafe { libc::raise(libc::SIGUSR1) }, 0);
                    sleep(Duration::from_millis(10));
                }
                reads.join().unwrap();
            });
        });
    });
}

#[test]
fn a_child_finds_its_parents_tasklets_parked_for_good() {
    run(|| {
        let (channel, other) = (Channel::<u8>::new(), Channel::<u8>::new());
        let waits = {
            let channel = channel.clone();
            spawn(move || channel.recv())
        };
        let selects = {
            let (channel, other) = (channel.clone(), other.clone());
            spawn(move || {
                let unlike = |_| ();
                Select::new().recv(&channel, unlike).recv(&other, unlike).wait()
            })
        };
        let paused = spawn(overlapped::task::pause);
        yield_now();
        assert_eq!((channel.balance(), other.balance()), (-2, -1));
        in_a_child(|| {
            assert_eq!((channel.balance(), other.balance()), (0, 0), "no tasklet waits any more");
            run(|| {
                paused.kill();
                assert_eq!(paused.resume(), Err(PauseError::Finished));
                assert_eq!(paused.run_now(), Err(PauseError::Finished));
                assert!(paused.remote().is_finished());
                let sends = {
                    let channel = channel.clone();
                    spawn(move || channel.send(5))
                };
                assert_eq!(channel.recv(), Ok(5));
                sends.join().unwrap().unwrap();
                let (_, ended) = wait_any(&mut vec![waits]).unwrap();
                assert!(matches!(ended, Err(JoinError::Abandoned)));
                assert!(matches!(selects.join(), Err(JoinError::Abandoned)));
            })
            .unwrap();
        });
        channel.close();
        assert_eq!(
            (channel.balance(), other.balance()),
            (0, 0),
            "the parent's tasklets are as they were"
        );
        assert_eq!(paused.resume(), Ok(()));
        paused.join().unwrap();
    })
    .unwrap();
}

#[test]
fn a_scope_in_a_child_waits_for_no_tasklet() {
    let status = run(|| {
        let child = scope(|s| {
            s.spawn(|| sleep(Duration::from_millis(1)));
            // SAFETY: as above; the child ends here.
            unsafe { libc::fork() }
        });
        assert!(child >= 0);
        if child == 0 {
            // SAFETY: as above.
            unsafe { libc::_exit(i32::from(in_tasklet())) };
        }
        end_of(child)
    });
    assert_eq!(status.unwrap(), 0);
}

#[test]
fn a_tasklet_that_ends_in_a_child_ends_the_child() {
    let child = run(|| {
        // SAFETY: as above; the child ends with the tasklet.
        let child = unsafe { libc::fork() };
        assert!(child >= 0);
        child
    });
    assert_eq!(libc::WTERMSIG(end_of(child.unwrap())), libc::SIGABRT);
}
