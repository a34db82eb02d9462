//! loom model-checks every order of waiters and wakers: `RUSTFLAGS="--cfg overlapped_loom" cargo
//! test -p overlapped-install --release --lib loom_`.
//!
//! The protocol is compiled once more, over loom's atomics, cells and parkers. A lost wake leaves
//! all threads asleep, which loom reports.

use std::array::from_fn;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use loom::sync::atomic::{AtomicBool, AtomicU32};
use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;

use self::protocol::{Entry, List, Table};
use self::rt::{AtomicUsize, Lock};

#[allow(dead_code, reason = "the models use a part of it")]
#[path = "protocol.rs"]
mod protocol;

/// loom's types. They exclude spinning, since loom would try every number of spins.
mod rt {
    pub(super) use loom::cell::UnsafeCell;
    pub(super) use loom::sync::atomic::{AtomicUsize, fence};

    pub(super) const BUCKETS: usize = 1;

    pub(super) struct Lock<T>(loom::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(super) fn new(value: T) -> Lock<T> {
            Lock(loom::sync::Mutex::new(value))
        }

        pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }
}

/// The event of a waiter, which sleeps until it is set.
#[derive(Default)]
struct CountingEvent {
    count: Mutex<u32>,
    changed: Condvar,
}

impl CountingEvent {
    fn set(&self) {
        *self.count.lock().unwrap() += 1;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut count = self.count.lock().unwrap();
        while *count == 0 {
            count = self.changed.wait(count).unwrap();
        }
    }

    fn count(&self) -> u32 {
        *self.count.lock().unwrap()
    }
}

/// Two addresses in the same bucket.
const HERE: usize = 64;
const THERE: usize = 128;
const ALL: u32 = u32::MAX;

fn table() -> &'static Table<CountingEvent> {
    let buckets = from_fn(|_| Lock::new(List::EMPTY));
    Box::leak(Box::new(Table { buckets, waiting: AtomicUsize::new(0) }))
}

fn wake(table: &'static Table<CountingEvent>, address: usize, most: usize) -> usize {
    table.wake(address, most, ALL, CountingEvent::set)
}

fn linked(table: &'static Table<CountingEvent>, address: usize, bits: u32) -> Entry<CountingEvent> {
    let entry = table.begin(address, bits, CountingEvent::default());
    entry.link();
    entry
}

/// Waits as `futex::wait` does. The word is read with the weakest ordering.
fn wait_while(
    table: &'static Table<CountingEvent>,
    address: usize,
    word: &AtomicU32,
    expected: u32,
) {
    let entry = table.begin(address, ALL, CountingEvent::default());
    if entry.link_if(|| word.load(Relaxed) == expected) {
        entry.payload().wait();
    }
}

/// Checks every order with at most three preemptions.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn loom_no_wake_is_lost_between_the_comparison_and_the_queue() {
    model(|| {
        let (table, word) = (table(), Arc::new(AtomicU32::new(0)));
        let theirs = Arc::clone(&word);
        let waiter = thread::spawn(move || wait_while(table, HERE, &theirs, 0));
        word.store(1, Relaxed);
        wake(table, HERE, 1);
        waiter.join().unwrap();
    });
}

#[test]
fn loom_no_wake_is_lost_if_a_waiter_enters_before_it_checks() {
    model(|| {
        let (table, word) = (table(), Arc::new(AtomicU32::new(0)));
        let theirs = Arc::clone(&word);
        let waiter = thread::spawn(move || {
            let entry = linked(table, HERE, ALL);
            if theirs.load(Relaxed) == 0 {
                entry.payload().wait();
            }
        });
        word.store(1, Relaxed);
        wake(table, HERE, 1);
        waiter.join().unwrap();
    });
}

/// A limit or a kill against a wake: the wake belongs to the waiter that gives up, or to the other
/// one.
#[test]
fn loom_a_waiter_that_gives_up_has_the_wake_or_leaves_it_to_another() {
    model(|| {
        let table = table();
        let [leaving, waiting] = [(); 2].map(|()| linked(table, HERE, ALL));
        let leaving = thread::spawn(move || !leaving.leave());
        let waiting = thread::spawn(move || waiting.payload().wait());
        assert_eq!(wake(table, HERE, 1), 1);
        if leaving.join().unwrap() {
            assert_eq!(wake(table, HERE, 1), 1, "one wake went to both");
        }
        waiting.join().unwrap();
        assert_eq!(wake(table, HERE, 1), 0);
    });
}

/// Locks as `hooks::pthread::LockWait` does: a waiter that stops waiting passes a wake on, whether
/// it has the lock or has come to its limit.
#[test]
fn loom_a_lock_is_not_left_free_while_a_tasklet_waits_for_it() {
    /// Returns whether it has the lock.
    fn lock(table: &'static Table<CountingEvent>, locked: &AtomicBool, has_no_limit: bool) -> bool {
        let attempt = || locked.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        loop {
            let entry = linked(table, HERE, ALL);
            let has_lock = attempt();
            if has_lock || !has_no_limit {
                if !entry.leave() {
                    wake(table, HERE, 1);
                }
                return has_lock;
            }
            entry.payload().wait();
        }
    }

    fn unlock(table: &'static Table<CountingEvent>, locked: &AtomicBool) {
        locked.store(false, Release);
        wake(table, HERE, 1);
    }

    model(|| {
        let (table, locked) = (table(), Arc::new(AtomicBool::new(true)));
        let others = [true, false].map(|has_no_limit| {
            let locked = Arc::clone(&locked);
            thread::spawn(move || {
                if lock(table, &locked, has_no_limit) {
                    unlock(table, &locked);
                }
            })
        });
        unlock(table, &locked);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn loom_wakes_of_two_threads_wake_as_many_as_they_may() {
    model(|| {
        let table = table();
        let waiters = [(); 3].map(|()| linked(table, HERE, ALL));
        let other = thread::spawn(move || wake(table, HERE, 1));
        let (ours, theirs) = (wake(table, HERE, 1), other.join().unwrap());
        assert_eq!((ours, theirs), (1, 1));
        let count: Vec<_> = waiters.iter().map(|waiter| waiter.payload().count()).collect();
        // The waiters are woken in the order of their arrival.
        assert_eq!(count, [1, 1, 0]);
        assert_eq!(waiters.map(|waiter| waiter.leave()), [false, false, true]);
    });
}

/// Tasklets are not moved to the second word: they wake and check again.
#[test]
fn loom_a_requeue_wakes_all_waiters_of_the_first_word_and_no_others() {
    model(|| {
        let (table, word) = (table(), Arc::new(AtomicU32::new(0)));
        let (others, bits) = (linked(table, THERE, ALL), linked(table, HERE, 2));
        let waiters = [(); 2].map(|()| {
            let word = Arc::clone(&word);
            thread::spawn(move || wait_while(table, HERE, &word, 0))
        });
        word.store(1, Relaxed);
        table.wake(HERE, usize::MAX, 1, CountingEvent::set);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(others.leave() && bits.leave());
    });
}
