//! Locks of std's, held across waits, between tasklets of one thread, of several schedulers, and
//! threads.
#![allow(missing_docs)]
mod support;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
use std::thread;
use std::time::Instant;

use overlapped_install::{scope, spawn};
use support::{everywhere, ms, run_in_tasklet, wait_until};

#[test]
fn a_mutex_held_across_a_sleep_lets_one_in_at_a_time() {
    let count = Arc::new(Mutex::new(0));
    let inside = count.clone();
    everywhere(20, move || {
        let mut count = inside.lock().unwrap();
        let before = *count;
        thread::sleep(ms(1));
        *count = before + 1;
    });
    assert_eq!(*count.lock().unwrap(), 60);
}

#[test]
fn a_lock_for_readers_and_writers_held_across_a_sleep_keeps_them_apart() {
    let lock = Arc::new(RwLock::new(0));
    let (inside, calls) = (lock.clone(), AtomicU32::new(0));
    everywhere(20, move || {
        if calls.fetch_add(1, Relaxed) % 4 == 0 {
            let mut value = inside.write().unwrap();
            let before = *value;
            thread::sleep(ms(1));
            *value = before + 1;
        } else {
            let value = inside.read().unwrap();
            let before = *value;
            thread::sleep(ms(1));
            assert_eq!(*value, before);
        }
    });
    assert_eq!(*lock.read().unwrap(), 15);
}

#[test]
fn a_condvar_wakes_tasklets_and_threads() {
    let pair = Arc::new((Mutex::new(0), Condvar::new()));
    // A thread makes its calls one after the other.
    everywhere(1, move || {
        let (count, changed) = &*pair;
        let mut now = count.lock().unwrap();
        *now += 1;
        changed.notify_all();
        let now = changed.wait_while(now, |now| *now < 3).unwrap();
        assert_eq!(*now, 3);
    });
}

#[test]
fn a_thread_notifies_twenty_tasklets() {
    let pair = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let theirs = pair.clone();
    let thread = thread::spawn(move || {
        wait_until("all wait", || theirs.0.lock().unwrap().0 == 20);
        theirs.0.lock().unwrap().1 = true;
        theirs.1.notify_all();
    });
    run_in_tasklet(|| {
        scope(|s| {
            for _ in 0..20 {
                s.spawn(|| {
                    let mut state = pair.0.lock().unwrap();
                    // The wait unlocks it.
                    state.0 += 1;
                    assert!(pair.1.wait_while(state, |(_, ready)| !*ready).unwrap().1);
                });
            }
        });
    });
    thread.join().unwrap();
}

#[test]
fn a_condvars_limit_ends_the_wait() {
    support::overlap(|_| {
        let (lock, changed) = (Mutex::new(()), Condvar::new());
        let begin = Instant::now();
        let (_guard, end) =
            changed.wait_timeout_while(lock.lock().unwrap(), ms(100), |()| true).unwrap();
        assert!(end.timed_out() && begin.elapsed() >= ms(100));
    });
}

#[test]
fn a_barrier_waits_for_all() {
    let barrier = Barrier::new(20);
    run_in_tasklet(|| {
        scope(|s| {
            (0..20).for_each(|_| {
                s.spawn(|| barrier.wait());
            })
        })
    });
    // A thread, and tasklets of two schedulers.
    let barrier = Barrier::new(3);
    everywhere(1, move || {
        barrier.wait();
    });
}

#[test]
fn what_is_made_once_is_made_once_although_making_waits() {
    static MADE: AtomicU32 = AtomicU32::new(0);
    static LAZY: LazyLock<u32> = LazyLock::new(|| {
        thread::sleep(ms(20));
        MADE.fetch_add(1, Relaxed)
    });
    static ONCE: Once = Once::new();
    static CELL: OnceLock<u32> = OnceLock::new();
    everywhere(5, || {
        assert_eq!(*LAZY, 0);
        ONCE.call_once(|| thread::sleep(ms(20)));
        assert_eq!(*CELL.get_or_init(|| MADE.fetch_add(1, Relaxed)), 1);
    });
    assert_eq!(MADE.load(Relaxed), 2);
}

#[test]
fn an_mpsc_channel_waits_for_a_neighbour() {
    run_in_tasklet(|| {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let sum = spawn(move || receiver.iter().sum::<i32>());
        spawn(move || {
            for number in 0..100 {
                sender.send(number).unwrap();
                if number % 10 == 0 {
                    thread::yield_now(); // The receiver finds nothing more, and waits.
                }
            }
        });
        assert_eq!(sum.join().unwrap(), 4950);
    });
}

#[test]
fn a_mutex_changes_hands_between_threads_and_tasklets_a_thousand_times() {
    // The handovers use futexes alone, without sleeps.
    let count = Arc::new(Mutex::new(0u64));
    let inside = count.clone();
    everywhere(4, move || {
        for round in 0..250 {
            let mut count = inside.lock().unwrap();
            *count += 1;
            if round % 16 == 0 {
                thread::yield_now();
            }
        }
    });
    assert_eq!(*count.lock().unwrap(), 3000);
}
