//! Deadlocks on locks other than the library's. This is one test, since each case is a child of
//! fork(2), which has no threads but the caller: other tests would be other threads.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io::{Read, Write, pipe};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Barrier, Condvar, Mutex, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use overlapped::{Config, RunError};
use overlapped_install::{run, scope, spawn};
use support::c::{Attributes, CMutex, CSemaphore, Shared};
use support::ms;

const FUTEX: &str = "a futex";

type Case = (&'static str, &'static str, fn());

/// Runs two tasklets that take two locks in opposite orders.
fn crosswise(lock: impl Fn(usize)) {
    scope(|s| {
        for order in [[0, 1], [1, 0]] {
            let lock = &lock;
            s.spawn(move || {
                lock(order[0]);
                // The other one takes its first lock.
                thread::yield_now();
                lock(order[1]);
            });
        }
    });
}

/// Waits that never end, with the words of the report.
const DEADLOCKS: &[Case] = &[
    ("Mutex", FUTEX, || {
        let locks = [(); 2].map(|()| Mutex::new(()));
        crosswise(|number| std::mem::forget(locks[number].lock().unwrap()));
    }),
    ("RwLock", FUTEX, || {
        let locks = [(); 2].map(|()| RwLock::new(()));
        crosswise(|number| std::mem::forget(locks[number].write().unwrap()));
    }),
    ("Condvar", FUTEX, || {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        drop(changed.wait(lock.lock().unwrap()).unwrap());
    }),
    ("Barrier", FUTEX, || {
        let barrier = Barrier::new(3);
        scope(|s| (0..2).for_each(|_| drop(s.spawn(|| barrier.wait()))));
    }),
    ("park", FUTEX, || thread::park()),
    ("mpsc", FUTEX, || {
        let (sender, receiver) = mpsc::channel::<()>();
        let (other, back) = mpsc::channel::<()>();
        spawn(move || {
            back.recv().unwrap();
            drop(sender);
        });
        receiver.recv().unwrap();
        drop(other);
    }),
    ("parking_lot", FUTEX, || {
        let locks = [(); 2].map(|()| parking_lot::Mutex::new(()));
        crosswise(|number| std::mem::forget(locks[number].lock()));
    }),
    ("crossbeam", FUTEX, || {
        let (_sender, receiver) = crossbeam_channel::bounded::<()>(0);
        receiver.recv().unwrap();
    }),
    ("pthread_mutex_lock", "a mutex of C's", || {
        let locks = [(); 2]
            .map(|()| CMutex::with_attributes(libc::PTHREAD_MUTEX_NORMAL, Attributes::default()));
        crosswise(|number| assert_eq!(locks[number].lock(), 0));
    }),
    ("pthread_cond_wait", "a condition variable of C's", || {
        let mutex = CMutex::with_attributes(libc::PTHREAD_MUTEX_NORMAL, Attributes::default());
        let cond = Shared::new(libc::PTHREAD_COND_INITIALIZER);
        mutex.lock();
        // SAFETY: the mutex is locked.
        unsafe { libc::pthread_cond_wait(cond.get(), mutex.get()) };
    }),
    ("pthread_rwlock_wrlock", "a lock of C's for readers and writers", || {
        let locks = [(); 2].map(|()| Shared::new(libc::PTHREAD_RWLOCK_INITIALIZER));
        // SAFETY: locks.
        crosswise(|number| unsafe {
            assert_eq!(libc::pthread_rwlock_wrlock(locks[number].get()), 0);
        });
    }),
    ("pthread_once", "a pthread_once of C's", || {
        static ONCE: Shared<c_int> = Shared::new(0);
        unsafe extern "C-unwind" {
            fn pthread_once(control: *mut c_int, routine: extern "C-unwind" fn()) -> c_int;
        }
        extern "C-unwind" fn routine() {
            // SAFETY: a word for these calls alone.
            unsafe { pthread_once(ONCE.get(), routine) };
        }
        routine();
    }),
];

/// Waits that end.
const OTHERS: &[Case] = &[
    ("another thread", "", || {
        let lock = Arc::new(Mutex::new(0));
        let theirs = lock.clone();
        let (sender, receiver) = mpsc::channel();
        let thread = thread::spawn(move || {
            let mut held = theirs.lock().unwrap();
            sender.send(()).unwrap();
            thread::sleep(ms(300));
            *held += 1;
        });
        receiver.recv().unwrap();
        assert_eq!(*lock.lock().unwrap(), 1);
        thread.join().unwrap();
    }),
    ("a signal handler", "", || {
        static SEMAPHORE: std::sync::OnceLock<CSemaphore> = std::sync::OnceLock::new();
        extern "C" fn post(_: c_int) {
            SEMAPHORE.get().unwrap().post();
        }
        SEMAPHORE.get_or_init(|| CSemaphore::from_value(0));
        // SAFETY: a handler that posts only.
        unsafe {
            libc::signal(libc::SIGALRM, post as *const () as usize);
            let soon = [0_i64, 0, 0, 100_000]; // Once, after 100,000 µs.
            libc::syscall(libc::SYS_setitimer, libc::ITIMER_REAL, soon.as_ptr(), 0);
        }
        assert_eq!(SEMAPHORE.get().unwrap().wait(), 0);
    }),
    ("a limit", "", || {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        let waited = changed.wait_timeout(lock.lock().unwrap(), ms(50)).unwrap();
        assert!(waited.1.timed_out());
    }),
];

/// Runs `f` in a child, and returns its output.
fn in_a_child(f: impl FnOnce() -> String) -> String {
    let (mut read, mut write) = pipe().unwrap();
    // SAFETY: this process has one thread besides, which waits for this test.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(read);
        // An abort writes to standard error.
        // SAFETY: both are open.
        unsafe { libc::dup2(write.as_raw_fd(), 2) };
        let _ = write.write_all(f().as_bytes());
        // SAFETY: ends the child.
        unsafe { libc::_exit(0) };
    }
    drop(write);
    let mut text = String::new();
    let (begin, mut status) = (Instant::now(), 0);
    // SAFETY: the child.
    while unsafe { libc::waitpid(child, &mut status, libc::WNOHANG) } == 0 {
        if begin.elapsed() > Duration::from_secs(60) {
            // SAFETY: as above.
            unsafe { libc::kill(child, libc::SIGKILL) };
        }
        thread::sleep(ms(2));
    }
    read.read_to_string(&mut text).unwrap();
    text
}

fn ended(result: Result<(), RunError>) -> String {
    match result {
        Ok(()) => "ended".to_owned(),
        Err(RunError::Deadlock(verdict)) => verdict.to_string(),
        Err(error) => format!("{error:?}"),
    }
}

fn two_waits_for_one_lock_show_one_address() {
    let text = in_a_child(|| {
        ended(run(|| {
            let lock = Arc::new(Mutex::new(()));
            std::mem::forget(lock.lock().unwrap());
            for _ in 0..2 {
                let lock = lock.clone();
                spawn(move || drop(lock.lock()));
            }
        }))
    });
    let addresses = text.split(" at 0x").skip(1).map(|rest| rest.split(',').next().unwrap());
    let addresses: Vec<_> = addresses.collect();
    assert!(addresses.len() == 2 && addresses[0] == addresses[1], "{text:?}");
}

#[test]
fn a_deadlock_on_locks_of_std_or_c_ends_the_run_with_a_report_that_names_them() {
    const AGAIN: &str = "OVERLAPPED_TEST_CHILD";
    support::install();
    if std::env::var_os(AGAIN).is_none() {
        // Runs in a process that does not capture standard error.
        let again = support::again().arg("--nocapture").env(AGAIN, "1").output().unwrap();
        assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
        return;
    }
    for (name, words, case) in DEADLOCKS {
        let text = in_a_child(|| ended(run(case)));
        assert!(text.contains("deadlock:") && text.contains(words), "{name}: {text:?}");
        assert!(!text.contains("grace time"), "{name}: {text:?}");
        let ends = text.contains("nothing can end the wait of the first tasklet");
        assert!(ends && text.contains(&format!("{words} ")), "{name}: {text:?}");
        assert!(!text.contains("src/spawn.rs"), "{name}: {text:?}");
    }
    two_waits_for_one_lock_show_one_address();
    for (name, _, case) in OTHERS {
        assert_eq!(in_a_child(|| ended(run(case))), "ended", "{name}");
    }
    // Tasklets for which the first one does not wait are parked for good, and the run returns.
    let text = in_a_child(|| {
        ended(run(|| {
            let locks = Arc::new([(); 2].map(|()| Mutex::new(())));
            for order in [[0, 1], [1, 0]] {
                let locks = locks.clone();
                spawn(move || {
                    let _first = locks[order[0]].lock().unwrap();
                    thread::yield_now();
                    let _second = locks[order[1]].lock().unwrap();
                });
            }
        }))
    });
    assert!(text.starts_with("deadlock: 2 waiting"), "{text:?}");
    // The last case has two schedulers, one of which waits for the other.
    let text = in_a_child(|| {
        let lock = Arc::new(Mutex::new(()));
        ended(overlapped_install::run_with(Config::new().threads(2), || {
            let held = lock.lock().unwrap();
            let theirs = lock.clone();
            let placed = overlapped::task::place_on_each(move |_| {
                let theirs = theirs.clone();
                spawn(move || drop(theirs.lock())).join().unwrap();
            });
            drop(placed.unwrap()); // A handle could wake.
            thread::park();
            drop(held);
        }))
    });
    assert!(text.contains("deadlock:") && text.contains(FUTEX), "{text:?}");
}
