//! The types under the [protocol](super::protocol); loom's model has its own.

pub(super) use std::sync::atomic::{AtomicUsize, fence};

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::raw::call;

pub(super) const BUCKETS: usize = 256;

/// std's cell, with loom's interface.
pub(super) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub(super) const fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    pub(super) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    pub(super) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A lock that is no function of libc, and calls none.
pub(super) struct Lock<T> {
    locked: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: only the holder of `locked` accesses the value.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(super) const fn new(value: T) -> Lock<T> {
        Lock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Calls `f`, which does not unwind, with the value.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        /// The number of spins after which the processor is yielded, perhaps to the holder of the
        /// lock.
        const SPINS: u32 = 100;
        let mut spins = 0;
        while self.locked.swap(true, Acquire) {
            while self.locked.load(Relaxed) {
                spins += 1;
                if spins % SPINS == 0 {
                    // SAFETY: the call accesses no memory.
                    unsafe { call!(sched_yield) };
                }
                spin_loop();
            }
        }
        // SAFETY: the lock is held.
        let result = self.value.with_mut(|value| f(unsafe { &mut *value }));
        self.locked.store(false, Release);
        result
    }

    /// Unlocks the lock with another value. The old one is not dropped.
    ///
    /// # Safety
    /// No thread is inside [`with`](Lock::with), or will return there.
    pub(super) unsafe fn reset(&self, value: T) {
        // SAFETY: the caller's promise.
        self.value.with_mut(|place| unsafe { place.write(value) });
        self.locked.store(false, Release);
    }
}
