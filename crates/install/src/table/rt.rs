//! Ground that the [protocol](super::protocol) stands on; loom has its own.

pub(super) use std::sync::atomic::{AtomicUsize, fence};

use std::hint::spin_loop;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::raw::call;

pub(super) const BUCKETS: usize = 256;

/// std's, with the calls that loom's has.
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

// SAFETY: the value is touched only by who holds `locked`, one at a time.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    pub(super) const fn new(value: T) -> Lock<T> {
        Lock { locked: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Calls `f`, which does not unwind, with the value.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        /// Spins before the processor is given to others, which may be who holds the lock.
        const SPINS: u32 = 100;
        let mut spins = 0;
        while self.locked.swap(true, Acquire) {
            while self.locked.load(Relaxed) {
                spins += 1;
                if spins % SPINS == 0 {
                    // SAFETY: touches nothing.
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

    /// Unlocks it, with another value; the old one is forgotten.
    ///
    /// # Safety
    /// Nobody is inside of [`with`](Lock::with), or ever comes back there.
    pub(super) unsafe fn begin_anew(&self, value: T) {
        // SAFETY: the caller's promise.
        self.value.with_mut(|place| unsafe { place.write(value) });
        self.locked.store(false, Release);
    }
}
