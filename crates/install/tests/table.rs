//! The table of waiters, by itself: Miri checks its pointers, too (`cargo xtask torture S12`). So
//! nothing here names the crate, whose functions would replace Miri's.
#![allow(missing_docs)]

use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;

use protocol::{Entry, List, Table};
use rt::{AtomicUsize, BUCKETS, Lock};

#[allow(dead_code, reason = "a part of it is used")]
#[path = "../src/table/protocol.rs"]
mod protocol;

mod rt {
    pub(crate) use std::sync::atomic::{AtomicUsize, fence};

    pub(crate) const BUCKETS: usize = 2;

    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    pub(crate) struct Lock<T>(std::sync::Mutex<T>);

    impl<T> Lock<T> {
        pub(crate) const fn new(value: T) -> Lock<T> {
            Lock(std::sync::Mutex::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }
}

/// A waiter that counts its wakes.
type WakeCount = AtomicUsize;

static TABLE: Table<WakeCount> =
    Table { buckets: [const { Lock::new(List::EMPTY) }; BUCKETS], waiting: AtomicUsize::new(0) };

const ALL: u32 = u32::MAX;

fn wake(address: usize, most: usize) -> usize {
    TABLE.wake(address, most, ALL, |count| {
        count.fetch_add(1, SeqCst);
    })
}

fn linked(address: usize) -> Entry<WakeCount> {
    let entry = TABLE.begin(address, ALL, WakeCount::new(0));
    entry.link();
    entry
}

#[test]
fn waiters_are_woken_in_the_order_of_their_arrival_and_by_their_addresses_alone() {
    let [first, second, third] = [(); 3].map(|()| linked(0x4000));
    let other = linked(0x4004);
    assert!(second.leave() && !second.leave());
    assert_eq!(wake(0x4000, 1), 1);
    let wakes = || [&first, &second, &third, &other].map(|entry| entry.payload().load(SeqCst));
    assert_eq!(wakes(), [1, 0, 0, 0]);
    assert_eq!((wake(0x4000, 5), wake(0x4000, 5)), (1, 0));
    assert_eq!(wakes(), [1, 0, 1, 0]);
    assert_eq!(TABLE.wake(0x4004, 5, 0, |_| ()), 0);
    assert!(!first.leave() && !third.leave() && other.leave());
    assert!(!TABLE.begin(0x4000, ALL, WakeCount::new(0)).link_if(|| false));
}

/// Some waiters leave at once, others wait; each wake reaches one waiter, and each waiter learns of
/// its own.
#[test]
fn each_wake_reaches_exactly_one_waiter() {
    const THREADS: usize = 3;
    const ROUNDS: usize = if cfg!(miri) { 30 } else { 20_000 };
    static LEFT: AtomicUsize = AtomicUsize::new(THREADS);
    let one = |number: usize| {
        let mut woken = 0;
        for round in 0..ROUNDS {
            let entry = linked(0x1000 + number % 2 * 4);
            let gives_up = (round + number).is_multiple_of(3);
            while !gives_up && entry.payload().load(SeqCst) == 0 {
                thread::yield_now();
            }
            woken += usize::from(!entry.leave());
            assert!(gives_up || entry.payload().load(SeqCst) == 1);
        }
        LEFT.fetch_sub(1, SeqCst);
        woken
    };
    let waiters: Vec<_> = (0..THREADS).map(|number| thread::spawn(move || one(number))).collect();
    let waker = |address: usize| {
        move || {
            let mut woken = 0;
            while LEFT.load(Relaxed) > 0 {
                woken += wake(address, 1 + woken % 2);
                thread::yield_now();
            }
            woken
        }
    };
    let wakers = [0x1000, 0x1004].map(|address| thread::spawn(waker(address)));
    let woken: usize = waiters.into_iter().map(|thread| thread.join().unwrap()).sum();
    let wakes: usize = wakers.into_iter().map(|thread| thread.join().unwrap()).sum();
    assert_eq!(woken, wakes);
}
