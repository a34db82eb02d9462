//! Atomic protocols of a mutex and of a condition variable, as in std.
//!
//! A mutex is free, locked, or awaited: locked, with threads that may wait for it. Unlocking an
//! awaited mutex wakes one waiter. A thread that has waited takes the mutex as awaited, since
//! others may still wait.
//!
//! A condition variable counts notifications. A waiter reads the count under the mutex and sleeps
//! only while it is unchanged, so no notification is lost in between.
//!
//! `loom_tests` model-checks the memory orders.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::Duration;

use super::futex::{SPINS, Word, spin_loop, wait, wake_one};

const FREE: u32 = 0;
const LOCKED: u32 = 1;
const AWAITED: u32 = 2;

/// A mutex without its value.
#[derive(Default)]
pub(super) struct RawMutex(Word);

impl RawMutex {
    /// Makes a free mutex of `word`, which is 0. The caller makes the word, so that this function
    /// can be `const` and can be compiled with loom's words.
    pub(super) const fn of(word: Word) -> RawMutex {
        RawMutex(word)
    }

    #[inline]
    pub(super) fn lock(&self) {
        if !self.try_lock() {
            self.contend();
        }
    }

    #[inline]
    pub(super) fn try_lock(&self) -> bool {
        self.0.compare_exchange(FREE, LOCKED, Acquire, Relaxed).is_ok()
    }

    /// Unlocks the mutex, which the caller has locked.
    #[inline]
    pub(super) fn unlock(&self) {
        if self.0.swap(FREE, Release) == AWAITED {
            wake_one(&self.0);
        }
    }

    #[cold]
    fn contend(&self) {
        let mut state = self.spin();
        if state == FREE && self.try_lock() {
            return;
        }
        loop {
            if state != AWAITED && self.0.swap(AWAITED, Acquire) == FREE {
                return;
            }
            wait(&self.0, AWAITED, None);
            state = self.spin();
        }
    }

    /// Spins for a moment until the mutex becomes free. Does not spin while others wait: they come
    /// first.
    fn spin(&self) -> u32 {
        let mut left = SPINS;
        loop {
            let state = self.0.load(Relaxed);
            if state != LOCKED || left == 0 {
                return state;
            }
            spin_loop();
            left -= 1;
        }
    }
}

/// A condition variable for any [`RawMutex`].
#[derive(Default)]
pub(super) struct RawCondvar(Word);

impl RawCondvar {
    /// Makes a condition variable of `word`, as [`RawMutex::of`] does.
    pub(super) const fn of(word: Word) -> RawCondvar {
        RawCondvar(word)
    }

    /// Waits for a notification. The caller has locked `mutex`, and has locked it again when this
    /// returns. Returns false if `limit` has passed.
    pub(super) fn wait(&self, mutex: &RawMutex, limit: Option<Duration>) -> bool {
        let count = self.0.load(Relaxed);
        mutex.unlock();
        let in_time = wait(&self.0, count, limit);
        mutex.lock();
        in_time
    }

    /// Wakes one waiter.
    pub(super) fn notify_one(&self) {
        self.0.fetch_add(1, Relaxed);
        wake_one(&self.0);
    }
}
