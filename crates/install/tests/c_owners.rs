//! Mutexes of C's whose owner must be a thread that the kernel knows: robust ones, and recursive or
//! error-checking ones that inherit priorities or that several processes share. Tasklets are
//! compared with threads.
#![allow(missing_docs)]
mod support;

use std::ffi::c_int;
use std::io::{BufRead, BufReader, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::ptr::null_mut;
use std::sync::{Arc, mpsc};
use std::thread;

use overlapped_install::{scope, spawn};
use support::c::{Attributes, CMutex, Shared};
use support::{LONG, Turns, ms, run_in_tasklet, until_waits};

const NORMAL: c_int = libc::PTHREAD_MUTEX_NORMAL;
const RECURSIVE: c_int = libc::PTHREAD_MUTEX_RECURSIVE;
const CHECKING: c_int = libc::PTHREAD_MUTEX_ERRORCHECK;

const NO_WISH: Attributes =
    Attributes { robust: false, inherits: false, ceiling: false, shared: false };
const ROBUST: Attributes = Attributes { robust: true, ..NO_WISH };

unsafe extern "C" {
    fn pthread_mutex_consistent(mutex: *mut libc::pthread_mutex_t) -> c_int;
}

fn consistent(mutex: &CMutex) -> c_int {
    // SAFETY: a mutex.
    unsafe { pthread_mutex_consistent(mutex.get()) }
}

fn lock_for_a_moment(mutex: &CMutex) -> c_int {
    let mut moment = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the time, and a mutex.
    unsafe {
        libc::clock_gettime(libc::CLOCK_REALTIME, &mut moment);
        moment.tv_nsec += 10_000_000;
        if moment.tv_nsec >= 1_000_000_000 {
            (moment.tv_sec, moment.tv_nsec) = (moment.tv_sec + 1, moment.tv_nsec - 1_000_000_000);
        }
        libc::pthread_mutex_timedlock(mutex.get(), &moment)
    }
}

/// A function that starts a closure in a thread or a tasklet, and returns another one, which waits
/// for its end.
type Start = fn(Box<dyn FnOnce() -> Vec<c_int> + Send>) -> Box<dyn FnOnce() -> Vec<c_int>>;

fn by_thread(f: Box<dyn FnOnce() -> Vec<c_int> + Send>) -> Box<dyn FnOnce() -> Vec<c_int>> {
    let thread = thread::spawn(f);
    Box::new(|| thread.join().unwrap())
}

fn by_tasklet(f: Box<dyn FnOnce() -> Vec<c_int> + Send>) -> Box<dyn FnOnce() -> Vec<c_int>> {
    let tasklet = spawn(f);
    Box::new(|| tasklet.join().unwrap())
}

/// The outcomes of calls by several owners.
fn results(start: Start, kind: c_int, requested: Attributes) -> Vec<Vec<c_int>> {
    let mut all = Vec::new();
    let mutex = Arc::new(CMutex::with_attributes(kind, requested));
    let run = |f: fn(&CMutex) -> Vec<c_int>| {
        let theirs = mutex.clone();
        start(Box::new(move || f(&theirs)))()
    };
    // One owner holds it for a while, another one waits for it.
    let (held, is_held) = mpsc::channel();
    let (go_on, goes_on) = mpsc::channel::<()>();
    let theirs = mutex.clone();
    let holder = start(Box::new(move || {
        let locked = theirs.lock();
        held.send(()).unwrap();
        goes_on.recv().unwrap();
        vec![locked, theirs.unlock()]
    }));
    is_held.recv().unwrap();
    all.push(run(|mutex| vec![mutex.try_lock(), mutex.unlock(), lock_for_a_moment(mutex)]));
    let theirs = mutex.clone();
    let waiter = start(Box::new(move || vec![theirs.lock(), theirs.unlock()]));
    thread::sleep(ms(5));
    go_on.send(()).unwrap();
    all.push(holder());
    all.push(waiter());
    // The owner locks it again.
    all.push(run(|mutex| {
        let mut results = vec![mutex.lock(), mutex.try_lock(), lock_for_a_moment(mutex)];
        let locked = results.iter().filter(|result| **result == 0).count();
        results.extend((0..=locked).map(|_| mutex.unlock()));
        results
    }));
    if requested.robust {
        // An owner ends without unlocking it.
        all.push(run(|mutex| vec![mutex.lock()]));
        all.push(run(|mutex| {
            vec![mutex.lock(), consistent(mutex), mutex.unlock(), mutex.lock(), mutex.unlock()]
        }));
        all.push(run(|mutex| vec![mutex.lock(), mutex.try_lock()]));
        // The next owner does not make it consistent.
        all.push(run(|mutex| vec![mutex.try_lock(), mutex.unlock(), mutex.lock()]));
        all.push(run(|mutex| vec![mutex.lock(), mutex.try_lock(), consistent(mutex)]));
    }
    all
}

#[test]
fn owners_are_told_of_each_other_as_threads_are() {
    let both = [true, false];
    for kind in [NORMAL, RECURSIVE, CHECKING] {
        for robust in both {
            for inherits in both {
                for shared in both {
                    if kind == NORMAL && !robust {
                        continue; // Anybody may unlock it.
                    }
                    let requested = Attributes { robust, inherits, ceiling: false, shared };
                    let threads = results(by_thread, kind, requested);
                    let tasklets = run_in_tasklet(|| results(by_tasklet, kind, requested));
                    assert_eq!(tasklets, threads, "{kind} {requested:?}");
                }
            }
        }
    }
}

#[test]
fn a_killed_owner_is_a_dead_one() {
    let mutex = Arc::new(CMutex::with_attributes(NORMAL, ROBUST));
    run_in_tasklet(|| {
        let (theirs, (held, is_held)) = (mutex.clone(), mpsc::channel());
        let holder = spawn(move || {
            assert_eq!(theirs.lock(), 0);
            held.send(()).unwrap();
            while !overlapped::task::is_killed() {
                thread::sleep(ms(1000));
            }
        });
        is_held.recv().unwrap();
        assert_eq!(mutex.try_lock(), libc::EBUSY);
        let theirs = mutex.clone();
        let waiter = spawn(move || (theirs.lock(), consistent(&theirs), theirs.unlock()));
        until_waits(waiter.id());
        holder.kill();
        // The tasklet ended with the kill pending.
        drop(holder.join());
        assert_eq!(waiter.join().unwrap(), (libc::EOWNERDEAD, 0, 0));
    });
    // The thread can lock it, too, outside any tasklet.
    assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
}

#[test]
fn neighbours_run_while_one_waits_and_no_switch_blocks_the_thread() {
    let mutex = Arc::new(CMutex::with_attributes(RECURSIVE, ROBUST));
    let (held, is_held) = mpsc::channel();
    let (theirs, turns) = (mutex.clone(), Turns::default());
    let seen = turns.clone();
    let thread = thread::spawn(move || {
        assert_eq!(theirs.lock(), 0);
        held.send(()).unwrap();
        seen.wait_for(5, LONG);
        assert_eq!(theirs.unlock(), 0);
    });
    run_in_tasklet(|| {
        is_held.recv().unwrap();
        let ticks = turns.count_during(|| assert_eq!((mutex.lock(), mutex.unlock()), (0, 0)));
        assert!(ticks > 3, "{ticks}");
        overlapped::task::no_switch(|| {
            assert_eq!((mutex.lock(), mutex.lock()), (0, 0));
            assert_eq!((mutex.unlock(), mutex.unlock(), mutex.unlock()), (0, 0, libc::EPERM));
        });
    });
    thread.join().unwrap();
}

#[test]
fn a_condition_is_waited_for_with_a_robust_mutex() {
    let mutex = CMutex::with_attributes(CHECKING, ROBUST);
    let cond = Shared::new(libc::PTHREAD_COND_INITIALIZER);
    let turn = std::cell::Cell::new(0);
    run_in_tasklet(|| {
        scope(|s| {
            for me in 0..2 {
                let (mutex, cond, turn) = (&mutex, &cond, &turn);
                s.spawn(move || {
                    assert_eq!(mutex.lock(), 0);
                    for _ in 0..20 {
                        while turn.get() % 2 != me {
                            // SAFETY: a condition, and its mutex, which is locked.
                            let waited =
                                unsafe { libc::pthread_cond_wait(cond.get(), mutex.get()) };
                            assert_eq!(waited, 0);
                        }
                        turn.set(turn.get() + 1);
                        // SAFETY: as above.
                        assert_eq!(unsafe { libc::pthread_cond_broadcast(cond.get()) }, 0);
                    }
                    assert_eq!(mutex.unlock(), 0);
                });
            }
        });
    });
    assert_eq!(turn.get(), 40);
}

/// A mutex in a file.
fn map(file: &std::fs::File) -> &'static CMutex {
    let (flags, size) = (libc::PROT_READ | libc::PROT_WRITE, size_of::<CMutex>());
    // SAFETY: a new mapping of a file that is long enough; it stays.
    unsafe {
        let place = libc::mmap(null_mut(), size, flags, libc::MAP_SHARED, file.as_raw_fd(), 0);
        assert_ne!(place, libc::MAP_FAILED);
        &*place.cast::<CMutex>()
    }
}

#[test]
fn a_process_that_is_killed_while_a_tasklet_has_a_mutex_leaves_it_to_others() {
    const PATH: &str = "OVERLAPPED_TEST_MUTEX";
    if let Some(path) = std::env::var_os(PATH) {
        let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
        run_in_tasklet(|| {
            assert_eq!(map(&file).lock(), 0);
            println!("\nlocked");
            std::io::stdout().flush().unwrap();
            thread::sleep(ms(60_000));
        });
        return;
    }
    support::install();
    let path = support::path("mutex");
    let mut file = std::fs::File::options();
    let mut file = file.read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.write_all(&[0; size_of::<CMutex>()]).unwrap();
    let mutex = map(&file);
    let made = CMutex::with_attributes(NORMAL, Attributes { shared: true, ..ROBUST });
    // SAFETY: no other code uses it yet; it is plain data, without pointers to itself.
    unsafe { mutex.get().copy_from(made.get(), 1) };
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([thread::current().name().unwrap(), "--exact", "--nocapture", "--test-threads=1"])
        .env(PATH, &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut lines = lines.map_while(Result::ok);
    assert!(lines.any(|line| line.contains("locked")));
    assert_eq!(mutex.try_lock(), libc::EBUSY);
    run_in_tasklet(|| {
        let waiter = spawn(|| (mutex.lock(), consistent(mutex), mutex.unlock()));
        until_waits(waiter.id());
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(waiter.join().unwrap(), (libc::EOWNERDEAD, 0, 0));
        assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
    });
    std::fs::remove_file(path).unwrap();
}

/// Has a child of fork call `f` in a tasklet that has a proxy (a thread that owns mutexes in its
/// place), and returns the child's exit status: none if a signal has ended it.
fn status_of_child(f: impl FnOnce(&CMutex) -> c_int) -> Option<c_int> {
    run_in_tasklet(|| {
        let mutex = CMutex::with_attributes(RECURSIVE, ROBUST);
        assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
        let mut status = MaybeUninit::uninit();
        // SAFETY: the child ends in here; the status is written before it is read.
        let status = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(f(&mutex));
            }
            assert_eq!(libc::waitpid(child, status.as_mut_ptr(), 0), child);
            status.assume_init()
        };
        assert_eq!((mutex.lock(), mutex.unlock()), (0, 0));
        libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status))
    })
}

#[test]
fn a_child_of_fork_has_a_proxy_of_its_own() {
    let status = status_of_child(|mutex| {
        let outcome = [mutex.lock(), mutex.lock(), mutex.unlock(), mutex.unlock()];
        c_int::from(outcome != [0; 4])
    });
    assert_eq!(status, Some(0));
}

#[test]
fn a_child_of_fork_that_ends_by_exit_leaves_its_parents_proxy_alone() {
    // SAFETY: it runs the destructors of thread-locals, the proxy's among them.
    let status = status_of_child(|_| unsafe { libc::exit(7) });
    assert_eq!(status, Some(7));
}
