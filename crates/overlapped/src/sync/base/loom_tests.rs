//! Model-checks how permits are taken, returned and handed over, and channels between threads, in
//! every order: `RUSTFLAGS="--cfg overlapped_loom" cargo test -p overlapped --release --lib loom_`.
//!
//! The core is compiled once more, over loom's types and over a wait that loom knows.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;

use self::permits::{NotAcquired, Permits, Request};
use self::rt::{AtomicUsize, Life, Mutex};

#[path = "loom_channels.rs"]
mod channels;
#[allow(dead_code, reason = "the models use a part of it")]
#[path = "monitor.rs"]
mod monitor;
#[allow(dead_code, reason = "the models use a part of it")]
#[path = "permits.rs"]
mod permits;
#[allow(dead_code, reason = "permits use a part of it")]
#[path = "queue.rs"]
mod queue;
#[allow(dead_code, reason = "the models use a part of it")]
#[path = "../mpsc/shared.rs"]
mod shared;

/// The base of the core, here: a wait that a waker or a kill ends.
mod rt {
    use std::cell::RefCell;

    use loom::sync::{Arc, Condvar, MutexGuard};

    pub(super) use crate::sched::LockWait;
    pub(super) use crate::task::CannotWait;
    pub(super) use crate::task::waiter::Woken;
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::{AtomicUsize, Ordering};

    loom::thread_local! {
        static ME: RefCell<Option<Life>> = RefCell::new(None);
    }

    /// The state by which a kill reaches a thread.
    #[derive(Clone)]
    pub(super) struct Life(Arc<Mutex<(bool, Option<Waker>)>>);

    impl Life {
        pub(super) fn new() -> Life {
            Life(Arc::new(Mutex::new((false, None))))
        }

        /// Makes the calling thread killable from now on.
        pub(super) fn begin(&self) {
            ME.with(|me| *me.borrow_mut() = Some(self.clone()));
        }

        pub(super) fn kill(&self) {
            let mut life = lock(&self.0);
            life.0 = true;
            let waiting = life.1.take();
            drop(life);
            if let Some(waker) = waiting {
                waker.end(Woken::Killed);
            }
        }
    }

    pub(super) struct Wait(Waker);

    #[derive(Clone)]
    pub(super) struct Waker(Arc<(Mutex<Option<Woken>>, Condvar)>);

    impl Waker {
        pub(super) fn wake(&self) {
            self.end(Woken::Yes);
        }

        fn end(&self, how: Woken) {
            lock(&self.0.0).get_or_insert(how);
            self.0.1.notify_one();
        }
    }

    impl Wait {
        pub(super) fn park_for_lock(self, _: LockWait<'_>, until: u64) -> Woken {
            self.park("", until)
        }

        pub(super) fn park(self, _: &'static str, _: u64) -> Woken {
            let mut woken = lock(&self.0.0.0);
            loop {
                match *woken {
                    Some(woken) => return woken,
                    None => woken = self.0.0.1.wait(woken).unwrap(),
                }
            }
        }
    }

    /// Prepares a wait. A killed thread may not wait any more; instead of unwinding it gets an
    /// error.
    pub(super) fn prepare() -> Result<(Wait, Waker), CannotWait> {
        let waker = Waker(Arc::new((Mutex::new(None), Condvar::new())));
        if let Some(me) = ME.with(|me| me.borrow().clone()) {
            let mut life = lock(&me.0);
            if life.0 {
                return Err(CannotWait::NoSwitch);
            }
            life.1 = Some(waker.clone());
        }
        Ok((Wait(waker.clone()), waker))
    }

    /// Calls `wait`; no thread is parked for good in a model.
    pub(super) fn with_cleanup<R>(_: &impl Fn(), wait: impl FnOnce() -> R) -> R {
        wait()
    }

    /// Does nothing; the next `prepare` reports the kill.
    pub(super) fn leave() {}

    /// Returns no deadline: models have none.
    pub(super) fn deadline() -> u64 {
        u64::MAX
    }

    pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }
}

const EXCLUSIVE: Request<'_> =
    Request { permits: ALL, exclusive: true, what: "", lock: None, until: u64::MAX };
/// A [`FairLock`](crate::sync::FairLock)'s, which has as many permits as a caller wants.
const FAIR: Request<'_> = Request { exclusive: false, ..EXCLUSIVE };
const SHARED: Request<'_> =
    Request { permits: 1, exclusive: false, what: "", lock: None, until: u64::MAX };
const ALL: usize = 2;

/// A lock with two readers at most, and the value that it protects.
struct Guarded {
    permits: Permits,
    value: UnsafeCell<usize>,
}

impl Guarded {
    fn new() -> Arc<Guarded> {
        let state = AtomicUsize::new(Permits::initial_state(ALL));
        let permits = Permits::from_parts(state, Mutex::new(None));
        Arc::new(Guarded { permits, value: UnsafeCell::new(0) })
    }

    fn acquire(&self, request: &Request<'_>) -> Result<(), NotAcquired> {
        if self.permits.try_acquire(request.permits) {
            Ok(())
        } else {
            self.permits.acquire(request)
        }
    }

    /// Accesses the value, for a thread that has all permits. Loom finds any other access.
    fn change(&self) {
        // SAFETY: loom checks that no other thread accesses the value.
        self.value.with_mut(|value| unsafe { *value += 1 });
        self.permits.release(ALL);
    }

    /// Reads the value, for a thread that has one permit.
    fn read(&self) -> usize {
        // SAFETY: loom checks that no other thread writes the value.
        let value = self.value.with(|value| unsafe { *value });
        self.permits.release(1);
        value
    }

    /// Checks that at the end all permits are there, and the lock is open.
    fn check(&self, changes: usize) {
        assert!(self.permits.take_all(ALL), "{} free", self.permits.free());
        // SAFETY: loom checks that no other thread accesses the value.
        assert_eq!(self.value.with(|value| unsafe { *value }), changes);
    }
}

/// Tries every order with at most three preemptions. With two, some mistakes in `take_past_waiters`
/// are missed.
fn model(f: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(f);
}

/// Runs `part` in two more threads.
fn three(lock: &Arc<Guarded>, part: fn(usize, &Guarded)) {
    let others = [1, 2].map(|i| {
        let lock = lock.clone();
        thread::spawn(move || part(i, &lock))
    });
    part(0, lock);
    others.into_iter().for_each(|other| other.join().unwrap());
}

#[test]
fn loom_an_owner_is_alone_and_no_waiter_is_forgotten() {
    model(|| {
        let lock = Guarded::new();
        three(&lock, |_, lock| {
            lock.acquire(&EXCLUSIVE).unwrap();
            lock.change();
        });
        lock.check(3);
    });
}

#[test]
fn loom_a_fair_lock_has_one_holder_and_forgets_no_waiter() {
    model(|| {
        let lock = Guarded::new();
        three(&lock, |_, lock| {
            lock.acquire(&FAIR).unwrap();
            lock.change();
        });
        lock.check(3);
    });
}

#[test]
fn loom_a_caller_that_comes_again_and_again_keeps_no_other_out() {
    model(|| {
        let lock = Guarded::new();
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                for _ in 0..3 {
                    lock.acquire(&EXCLUSIVE).unwrap();
                    lock.change();
                }
            })
        };
        lock.acquire(&EXCLUSIVE).unwrap();
        lock.change();
        other.join().unwrap();
        lock.check(4);
    });
}

#[test]
fn loom_readers_and_a_writer() {
    model(|| {
        let lock = Guarded::new();
        three(&lock, |i, lock| {
            if i == 0 {
                lock.acquire(&EXCLUSIVE).unwrap();
                lock.change();
            } else {
                lock.acquire(&SHARED).unwrap();
                lock.read();
            }
        });
        lock.check(1);
    });
}

/// Starts a thread that asks for permits and may be killed, while the caller has the lock. Returns
/// 1 if the thread got them; if it got all, it has made a change.
fn victim(
    lock: &Arc<Guarded>,
    life: &Life,
    request: Request<'static>,
) -> thread::JoinHandle<usize> {
    let (lock, life) = (lock.clone(), life.clone());
    thread::spawn(move || {
        life.begin();
        let acquired = lock.acquire(&request).is_ok();
        match request.permits {
            ALL if acquired => lock.change(),
            _ if acquired => drop(lock.read()),
            _ => {}
        }
        usize::from(acquired)
    })
}

#[test]
fn loom_a_killed_waiter_passes_its_offer_on() {
    for request in [EXCLUSIVE, FAIR] {
        model(move || {
            let lock = Guarded::new();
            lock.acquire(&request).unwrap();
            let life = Life::new();
            let victim = victim(&lock, &life, request);
            let other = {
                let (lock, life) = (lock.clone(), life.clone());
                thread::spawn(move || {
                    life.kill();
                    lock.acquire(&request).unwrap();
                    lock.change();
                })
            };
            lock.change();
            let acquired = victim.join().unwrap();
            other.join().unwrap();
            lock.check(2 + acquired);
        });
    }
}

#[test]
fn loom_a_killed_reader_gives_its_permit_back() {
    model(|| {
        let lock = Guarded::new();
        lock.acquire(&EXCLUSIVE).unwrap();
        let life = Life::new();
        let victim = victim(&lock, &life, SHARED);
        let killer = {
            let life = life.clone();
            thread::spawn(move || life.kill())
        };
        lock.change();
        lock.acquire(&EXCLUSIVE).unwrap();
        lock.change();
        killer.join().unwrap();
        victim.join().unwrap();
        lock.check(2);
    });
}

#[test]
fn loom_a_grant_that_was_taken_back_is_given_again_later() {
    model(|| {
        let lock = Guarded::new();
        lock.acquire(&EXCLUSIVE).unwrap();
        let other = {
            let lock = lock.clone();
            thread::spawn(move || {
                lock.acquire(&EXCLUSIVE).unwrap();
                lock.change();
            })
        };
        lock.change();
        // The other one is on its way; it may come too late, and then the lock is handed over to
        // it.
        let mut changes = 2;
        if lock.permits.try_acquire(ALL) {
            lock.change();
            changes += 1;
        }
        if lock.permits.take_past_waiters(ALL) {
            lock.change();
            changes += 1;
        }
        other.join().unwrap();
        lock.check(changes);
    });
}
