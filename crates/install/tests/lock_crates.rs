//! Locks and channels of other crates, which treat each tasklet as a thread because of its
//! thread-locals.
#![allow(missing_docs)]
mod support;

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use overlapped_install::{scope, spawn};
use support::{everywhere, ms, overlap, run_in_tasklet};

#[test]
fn parking_lots_locks_are_held_across_waits_in_all_directions() {
    let mutex = Arc::new(parking_lot::Mutex::new(0));
    let lock = Arc::new(parking_lot::RwLock::new(0));
    let fair = Arc::new(parking_lot::FairMutex::new(0));
    let calls = AtomicUsize::new(0);
    let seen = (mutex.clone(), lock.clone(), fair.clone());
    everywhere(20, move || {
        let mut held = mutex.lock();
        let before = *held;
        thread::sleep(ms(1));
        *held = before + 1;
        drop(held);
        if calls.fetch_add(1, SeqCst).is_multiple_of(4) {
            let mut held = lock.write();
            let before = *held;
            thread::sleep(ms(1));
            *held = before + 1;
        } else {
            let held = lock.read();
            let before = *held;
            thread::sleep(ms(1));
            assert_eq!(*held, before);
        }
        *fair.lock() += 1;
    });
    assert_eq!((*seen.0.lock(), *seen.1.read(), *seen.2.lock()), (60, 15, 60));
}

#[test]
fn parking_lots_condvar_is_notified_by_tasklets_and_threads() {
    let pair = Arc::new((parking_lot::Mutex::new(0), parking_lot::Condvar::new()));
    everywhere(1, move || {
        let (count, changed) = &*pair;
        let mut now = count.lock();
        *now += 1;
        changed.notify_all();
        changed.wait_while(&mut now, |now| *now < 3);
    });
    overlap(|_| {
        let (lock, changed) = (parking_lot::Mutex::new(()), parking_lot::Condvar::new());
        assert!(changed.wait_for(&mut lock.lock(), ms(100)).timed_out());
    });
}

#[test]
fn parking_lots_reentrant_mutex_belongs_to_a_tasklet() {
    let mutex = parking_lot::ReentrantMutex::new(Cell::new(0));
    run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..10 {
                s.spawn(|| {
                    let first = mutex.lock();
                    let before = first.get();
                    thread::yield_now();
                    mutex.lock().set(before + 1);
                });
            }
        });
    });
    assert_eq!(mutex.lock().get(), 10);
}

/// Runs senders and receivers of three values each: two threads, and five tasklets of either kind
/// on each of two schedulers; returns the sum of the received values.
fn exchange(send: impl Fn(usize) + Sync, receive: impl Fn() -> usize + Sync) -> usize {
    let sum = AtomicUsize::new(0);
    let sends = || (1..=3).for_each(&send);
    let receives = || {
        for _ in 0..3 {
            sum.fetch_add(receive(), SeqCst);
        }
    };
    let tasklets = || {
        run_in_tasklet(|| {
            scope(|s| {
                for _ in 0..5 {
                    s.spawn(sends);
                    s.spawn(receives);
                }
            });
        });
    };
    thread::scope(|threads| {
        threads.spawn(sends);
        threads.spawn(receives);
        threads.spawn(tasklets);
        tasklets();
    });
    sum.load(SeqCst)
}

#[test]
fn crossbeams_channels_wait_for_neighbours_and_threads() {
    for room in [0, 1, 100] {
        let (sender, receiver) = crossbeam_channel::bounded(room);
        let sum = exchange(|value| sender.send(value).unwrap(), || receiver.recv().unwrap());
        assert_eq!(sum, 11 * 6);
    }
}

#[test]
fn crossbeams_select_takes_what_comes_first() {
    overlap(|_| {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        let (_quiet, nothing) = crossbeam_channel::bounded::<()>(0);
        let other = spawn(move || {
            thread::sleep(ms(100));
            sender.send(7).unwrap();
        });
        crossbeam_channel::select! {
            recv(receiver) -> value => assert_eq!(value, Ok(7)),
            recv(nothing) -> _ => unreachable!(),
        }
        other.join().unwrap();
        crossbeam_channel::select! {
            recv(nothing) -> _ => unreachable!(),
            default(ms(1)) => {}
        }
    });
}

#[test]
fn flumes_channels_wait_for_neighbours_and_threads() {
    for room in [0, 1, 100] {
        let (sender, receiver) = flume::bounded(room);
        let sum = exchange(|value| sender.send(value).unwrap(), || receiver.recv().unwrap());
        assert_eq!(sum, 11 * 6);
    }
}

#[test]
fn rayons_callers_wait_alone() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    run_in_tasklet(|| {
        let ticks = support::ticks(|| {
            scope(|s| {
                for number in 0..6_usize {
                    let pool = &pool;
                    s.spawn(move || {
                        let sum: usize = pool.install(|| {
                            use rayon::prelude::*;
                            thread::sleep(ms(5));
                            (0..1000).into_par_iter().map(|value| value * number).sum()
                        });
                        assert_eq!(sum, 499_500 * number);
                    });
                }
            });
        });
        assert!(ticks > 0);
    });
}
