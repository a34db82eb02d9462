//! Model checks of threads that lock, unlock, wait and notify, by loom:
//! `RUSTFLAGS="--cfg overlapped_loom" cargo test -p overlapped --release --lib loom_`.
//!
//! The protocol is compiled once more, over a word that loom knows.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use self::protocol::{RawCondvar, RawMutex};

#[allow(dead_code, reason = "the models use a part of it")]
#[path = "protocol.rs"]
mod protocol;

/// A futex that loom knows: a sleeper has compared the word under the lock that a wake-up takes.
mod futex {
    use std::sync::atomic::Ordering;
    use std::time::Duration;

    use loom::sync::atomic::AtomicU32;
    use loom::sync::{Condvar, Mutex};

    pub(super) use loom::hint::spin_loop;

    pub(super) const SPINS: u32 = 0;

    #[derive(Default)]
    pub(super) struct Word {
        value: AtomicU32,
        sleepers: Mutex<()>,
        wakes: Condvar,
    }

    impl Word {
        pub(super) fn load(&self, order: Ordering) -> u32 {
            self.value.load(order)
        }

        pub(super) fn swap(&self, value: u32, order: Ordering) -> u32 {
            self.value.swap(value, order)
        }

        pub(super) fn fetch_add(&self, value: u32, order: Ordering) -> u32 {
            self.value.fetch_add(value, order)
        }

        pub(super) fn compare_exchange(
            &self,
            old: u32,
            new: u32,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u32, u32> {
            self.value.compare_exchange(old, new, success, failure)
        }
    }

    pub(super) fn wait(word: &Word, expected: u32, _: Option<Duration>) -> bool {
        let sleepers = word.sleepers.lock().unwrap();
        // The kernel reads the word after it has taken the queue's lock, in full order.
        if word.value.fetch_add(0, Ordering::SeqCst) == expected {
            drop(word.wakes.wait(sleepers));
        }
        true
    }

    pub(super) fn wake_one(word: &Word) {
        let _sleepers = word.sleepers.lock().unwrap();
        word.wakes.notify_one();
    }
}

#[derive(Default)]
struct Guarded {
    mutex: RawMutex,
    changed: RawCondvar,
    value: UnsafeCell<usize>,
}

impl Guarded {
    /// Adds one under the lock, which the caller has. Loom reports it if another thread has the
    /// lock, too.
    fn add(&self) -> usize {
        // SAFETY: the caller has the lock.
        self.value.with_mut(|value| unsafe {
            *value += 1;
            *value
        })
    }

    fn get(&self) -> usize {
        // SAFETY: the caller has the lock.
        self.value.with(|value| unsafe { *value })
    }
}

/// Checks `f` in every order that has at most this many preemptions.
fn model(f: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

#[test]
fn loom_an_inner_lock_excludes_and_loses_no_waiter() {
    model(|| {
        let shared = Arc::new(Guarded::default());
        let threads = [(); 2].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.mutex.lock();
                shared.add();
                shared.mutex.unlock();
            })
        });
        shared.mutex.lock();
        shared.add();
        shared.mutex.unlock();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        shared.mutex.lock();
        assert_eq!(shared.get(), 3);
    });
}

#[test]
fn loom_an_inner_condition_loses_no_notification() {
    model(|| {
        let shared = Arc::new(Guarded::default());
        let theirs = Arc::clone(&shared);
        let waiter = thread::spawn(move || {
            theirs.mutex.lock();
            while theirs.get() == 0 {
                theirs.changed.wait(&theirs.mutex, None);
            }
            theirs.mutex.unlock();
        });
        shared.mutex.lock();
        shared.add();
        shared.mutex.unlock();
        shared.changed.notify_one();
        waiter.join().unwrap();
    });
}
