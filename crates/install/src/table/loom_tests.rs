//! Loom goes through every order of waiters and wakers:
//! `RUSTFLAGS="--cfg overlapped_loom" cargo test -p overlapped-install --release --lib loom_`.
//!
//! The protocol is compiled once more, over atomics, cells and alarms that loom knows. A wake that
//! is lost leaves all threads asleep, which loom tells.

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

/// Loom's own types. They exclude spinning: it would go through every number of turns.
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

/// The tasklet's alarm: it sleeps until this is rung.
#[derive(Default)]
struct Alarm {
    rings: Mutex<u32>,
    changed: Condvar,
}

impl Alarm {
    fn ring(&self) {
        *self.rings.lock().unwrap() += 1;
        self.changed.notify_one();
    }

    fn wait(&self) {
        let mut rings = self.rings.lock().unwrap();
        while *rings == 0 {
            rings = self.changed.wait(rings).unwrap();
        }
    }

    fn rings(&self) -> u32 {
        *self.rings.lock().unwrap()
    }
}

/// Two addresses in the same bucket.
const HERE: usize = 64;
const THERE: usize = 128;
const ALL: u32 = u32::MAX;

fn table() -> &'static Table<Alarm> {
    let buckets = from_fn(|_| Lock::new(List::EMPTY));
    Box::leak(Box::new(Table { buckets, waiting: AtomicUsize::new(0) }))
}

fn wake(table: &'static Table<Alarm>, address: usize, most: usize) -> usize {
    table.wake(address, most, ALL, Alarm::ring)
}

fn linked(table: &'static Table<Alarm>, address: usize, bits: u32) -> Entry<Alarm> {
    let entry = table.begin(address, bits, Alarm::default());
    entry.link();
    entry
}

/// futex(2)'s wait, as `futex::wait` has it. The word is read as loosely as the language can.
fn wait_while(table: &'static Table<Alarm>, address: usize, word: &AtomicU32, expected: u32) {
    let entry = table.begin(address, ALL, Alarm::default());
    if entry.link_if(|| word.load(Relaxed) == expected) {
        entry.what().wait();
    }
}

/// Every order with so many switches at most that no thread asked for.
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
fn loom_no_wake_is_lost_by_who_enters_first_and_looks_then() {
    model(|| {
        let (table, word) = (table(), Arc::new(AtomicU32::new(0)));
        let theirs = Arc::clone(&word);
        let waiter = thread::spawn(move || {
            let entry = linked(table, HERE, ALL);
            if theirs.load(Relaxed) == 0 {
                entry.what().wait();
            }
        });
        word.store(1, Relaxed);
        wake(table, HERE, 1);
        waiter.join().unwrap();
    });
}

/// A limit, or a kill, against a wake: it is the one's that gives up, or the other one's.
#[test]
fn loom_who_gives_up_has_the_wake_or_leaves_it_to_another() {
    model(|| {
        let table = table();
        let [hasty, patient] = [(); 2].map(|()| linked(table, HERE, ALL));
        let hasty = thread::spawn(move || !hasty.leave());
        let patient = thread::spawn(move || patient.what().wait());
        assert_eq!(wake(table, HERE, 1), 1);
        if hasty.join().unwrap() {
            assert_eq!(wake(table, HERE, 1), 1, "the wake was two's");
        }
        patient.join().unwrap();
        assert_eq!(wake(table, HERE, 1), 0);
    });
}

/// As `hooks::pthread::Wanted` locks: who does not wait any more passes a wake on, whether it has
/// the lock or has come to its limit.
#[test]
fn loom_a_lock_is_not_left_free_while_somebody_waits_for_it() {
    /// Tells whether it has the lock.
    fn lock(table: &'static Table<Alarm>, locked: &AtomicBool, is_patient: bool) -> bool {
        let attempt = || locked.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        loop {
            let entry = linked(table, HERE, ALL);
            let has_lock = attempt();
            if has_lock || !is_patient {
                if !entry.leave() {
                    wake(table, HERE, 1);
                }
                return has_lock;
            }
            entry.what().wait();
        }
    }

    fn unlock(table: &'static Table<Alarm>, locked: &AtomicBool) {
        locked.store(false, Release);
        wake(table, HERE, 1);
    }

    model(|| {
        let (table, locked) = (table(), Arc::new(AtomicBool::new(true)));
        let others = [true, false].map(|is_patient| {
            let locked = Arc::clone(&locked);
            thread::spawn(move || {
                if lock(table, &locked, is_patient) {
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
        let rings: Vec<_> = waiters.iter().map(|waiter| waiter.what().rings()).collect();
        // In the order of their arrival.
        assert_eq!(rings, [1, 1, 0]);
        assert_eq!(waiters.map(|waiter| waiter.leave()), [false, false, true]);
    });
}

/// Tasklets are not moved to the second word, but look again.
#[test]
fn loom_a_requeue_wakes_all_who_wait_at_the_first_word_and_nobody_else() {
    model(|| {
        let (table, word) = (table(), Arc::new(AtomicU32::new(0)));
        let (others, bits) = (linked(table, THERE, ALL), linked(table, HERE, 2));
        let waiters = [(); 2].map(|()| {
            let word = Arc::clone(&word);
            thread::spawn(move || wait_while(table, HERE, &word, 0))
        });
        word.store(1, Relaxed);
        table.wake(HERE, usize::MAX, 1, Alarm::ring);
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        assert!(others.leave() && bits.leave());
    });
}
