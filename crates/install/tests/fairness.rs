//! A thread is woken although tasklets wait for the same word. This is a program of its own, since
//! every wake in the process counts.
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::ptr::null;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Instant;

use overlapped_install::scope;
use support::{ms, run_in_tasklet, thread_number, until_blocked};

/// Each eighth wake goes to threads first.
const EVERY: usize = 8;

fn futex(word: &AtomicU32, operation: i32, value: usize) -> i64 {
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    // SAFETY: a word, borrowed for the call; no limit.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, value, null::<u8>(), 0, 0) }
}

#[test]
fn a_thread_is_woken_although_there_are_always_tasklets_that_wait() {
    let shared = Arc::new((AtomicU32::new(0), AtomicBool::new(false)));
    let theirs = shared.clone();
    let (tell, told) = mpsc::channel();
    let thread = thread::spawn(move || {
        let (word, is_woken) = &*theirs;
        tell.send(thread_number()).unwrap();
        while futex(word, libc::FUTEX_WAIT, 0) != 0 && word.load(SeqCst) == 0 {}
        is_woken.store(word.load(SeqCst) == 0, SeqCst);
    });
    let (word, is_woken) = &*shared;
    run_in_tasklet(|| {
        let (woken, woken_before_the_end) = (Cell::new(0), Cell::new(0));
        until_blocked(told.recv().unwrap(), &[libc::SYS_futex]);
        scope(|s| {
            for _ in 0..3 {
                s.spawn(|| {
                    while word.load(SeqCst) == 0 {
                        if futex(word, libc::FUTEX_WAIT, 0) == 0 {
                            woken.set(woken.get() + 1);
                        }
                    }
                });
            }
            for _ in 0..EVERY {
                // All three wait again.
                (0..3).for_each(|_| thread::yield_now());
                assert_eq!(futex(word, libc::FUTEX_WAKE, 1), 1);
            }
            (0..3).for_each(|_| thread::yield_now());
            woken_before_the_end.set(woken.get());
            let begin = Instant::now();
            while !is_woken.load(SeqCst) && begin.elapsed() < ms(2000) {
                thread::sleep(ms(1));
            }
            word.store(1, SeqCst);
            futex(word, libc::FUTEX_WAKE, 100);
        });
        assert_eq!(woken_before_the_end.get(), EVERY - 1, "of {EVERY} wakes");
    });
    thread.join().unwrap();
    assert!(is_woken.load(SeqCst), "no wake was the thread's");
}
