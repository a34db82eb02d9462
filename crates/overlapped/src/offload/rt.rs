//! The pool's runtime: locks, threads and the clock, or their models by loom.
//!
//! Loom knows no time. Its clock moves on with each reading, and a wait ends by time only when a
//! model says so.

#[cfg(not(overlapped_loom))]
pub(super) use real::*;

#[cfg(overlapped_loom)]
pub(super) use model::*;

#[cfg(not(overlapped_loom))]
mod real {
    use std::time::Duration;

    pub(in super::super) use crate::sys::clock::nanos;
    pub(in super::super) use crate::sys::lock::{Condvar, Mutex, MutexGuard};
    pub(in super::super) use std::hint::spin_loop;
    pub(in super::super) use std::sync::atomic::{AtomicBool, Ordering};

    pub(in super::super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock()
    }

    /// Waits for a notification, for at most `time`. Returns true if all of it has passed.
    pub(in super::super) fn wait<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        time: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        condvar.wait_timeout(guard, time)
    }

    /// Starts a thread. Returns false if that fails.
    pub(in super::super) fn start(name: &str, thread: impl FnOnce() + Send + 'static) -> bool {
        crate::sys::thread::start(name, thread).is_ok()
    }
}

#[cfg(overlapped_loom)]
mod model {
    use std::cell::Cell;
    use std::time::Duration;

    pub(in super::super) use loom::hint::spin_loop;
    pub(in super::super) use loom::sync::atomic::{AtomicBool, Ordering};
    pub(in super::super) use loom::sync::{Condvar, Mutex, MutexGuard};

    /// A part of a spin.
    const STEP: u64 = 20_000;

    // A model's threads take turns on one thread of the process, and another model has another.
    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
        /// Every wait ends by its time.
        static OVER: Cell<bool> = const { Cell::new(false) };
    }

    /// Begins a model, so that each of its rounds sees the same times.
    #[cfg(test)]
    pub(in super::super) fn begin() {
        NOW.set(0);
        OVER.set(false);
    }

    /// Makes waits end from now on. Called under the lock with which they wait.
    #[cfg(test)]
    pub(in super::super) fn end() {
        OVER.set(true);
    }

    pub(in super::super) fn nanos() -> u64 {
        NOW.replace(NOW.get() + STEP)
    }

    pub(in super::super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex.lock().unwrap()
    }

    pub(in super::super) fn wait<'a, T>(
        condvar: &Condvar,
        mut guard: MutexGuard<'a, T>,
        _: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        if !OVER.get() {
            guard = condvar.wait(guard).unwrap();
        }
        (guard, OVER.get())
    }

    pub(in super::super) fn start(_: &str, thread: impl FnOnce() + Send + 'static) -> bool {
        loom::thread::spawn(thread);
        true
    }
}
