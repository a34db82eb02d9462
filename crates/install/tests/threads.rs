//! Each tasklet has its own copy of what std keeps for each thread.
#![allow(missing_docs)]
#![cfg(not(miri))] // Miri has no functions of libc to look up.
mod support;

use std::collections::HashSet;
use std::sync::mpsc;
use std::thread;

use overlapped_install::{scope, spawn};
use support::{ms, overlap, run_in_tasklet};

#[test]
fn two_parked_tasklets_of_one_thread_are_woken_each_by_its_own_unpark() {
    run_in_tasklet(|| {
        let tasklets = [(); 2].map(|()| {
            let (sender, receiver) = mpsc::channel();
            let tasklet = spawn(move || {
                sender.send(thread::current()).unwrap();
                for _ in 0..500 {
                    thread::park();
                }
            });
            (tasklet, receiver.recv().unwrap())
        });
        let handles = [tasklets[0].1.clone(), tasklets[1].1.clone()];
        let ended = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let end = ended.clone();
        let thread = thread::spawn(move || {
            while !end.load(std::sync::atomic::Ordering::Relaxed) {
                handles.iter().for_each(thread::Thread::unpark);
                thread::yield_now();
            }
        });
        tasklets.into_iter().for_each(|(tasklet, _)| tasklet.join().unwrap());
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        thread.join().unwrap();
    });
}

#[test]
fn channels_have_many_receivers_and_senders_on_one_thread() {
    run_in_tasklet(|| {
        let mut ends = Vec::new();
        for _ in 0..10 {
            let (sender, receiver) = mpsc::sync_channel(1);
            ends.push(spawn(move || receiver.iter().sum::<i32>()));
            spawn(move || (0..100).for_each(|number| sender.send(number).unwrap()));
        }
        for end in ends {
            assert_eq!(end.join().unwrap(), 4950);
        }
    });
}

#[test]
fn scopes_of_threads_overlap() {
    overlap(|_| {
        let mut done = false;
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(ms(100));
                done = true;
            });
        });
        assert!(done);
    });
}

#[test]
fn every_tasklet_is_a_thread_to_std() {
    run_in_tasklet(|| {
        let ids = std::cell::RefCell::new(HashSet::from([thread::current().id()]));
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    let id = thread::current().id();
                    assert!(ids.borrow_mut().insert(id));
                    thread::yield_now();
                    assert_eq!(thread::current().id(), id);
                });
            }
        });
    });
}

#[test]
fn the_lock_of_standard_error_keeps_neighbours_out_across_a_wait() {
    run_in_tasklet(|| {
        let inside = std::cell::Cell::new(false);
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    let _lock = std::io::stderr().lock();
                    assert!(!inside.replace(true));
                    thread::sleep(ms(1));
                    inside.set(false);
                });
            }
        });
    });
}

#[test]
fn a_panic_ends_its_tasklet_alone() {
    run_in_tasklet(|| {
        let waiting = spawn(|| {
            thread::yield_now(); // The other one panics.
            assert!(!thread::panicking());
            7
        });
        let panicked = spawn(|| {
            let _guard = scopeguard(|| assert!(thread::panicking()));
            panic!("as it should");
        });
        assert!(panicked.join().is_err());
        assert_eq!(waiting.join().unwrap(), 7);
    });
}

fn scopeguard<F: Fn()>(f: F) -> impl Drop {
    struct Guard<F: Fn()>(F);
    impl<F: Fn()> Drop for Guard<F> {
        fn drop(&mut self) {
            (self.0)();
        }
    }
    Guard(f)
}
