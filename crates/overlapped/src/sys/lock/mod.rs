//! The library's inner lock and condition variable: three words of state over futex(2), without
//! poison.
//!
//! They are std's own algorithms over system calls that no other code sees. std's locks call futex
//! through the symbol `syscall`. A program that replaces that symbol, to have std's locks wait in
//! tasklets, would be called on a tasklet's stack, in the middle of the library's code, which may
//! neither wait there nor let others run. rustix makes the system call itself, so a thread that
//! waits for an inner lock blocks, for the few steps that it is held. No code of the user's runs
//! under one, so nothing is half done if a thread unwinds.
//!
//! These still wait through std, for a reason:
//!
//! | what | why |
//! |---|---|
//! | `OnceLock` and `Once` for handlers and hooks | a second thread waits for a few steps |
//! | the value in `sync::OnceLock` | set under a lock of the library's own, never contended |
//! | standard error (`eprintln!`) | in warnings, and before an abort |
//! | the start of a pool's thread | pthread_create(3): no lock of std's |
//! | `sys::thread::sleep` | outside a scheduler, or while unwinding: the thread is to sleep |
//! | the channels of `task/runtime/workers` and `watchdog/tell` | outside of tasklets |
//! | `driver/null` | for Miri only |

#[cfg(all(test, overlapped_loom))]
mod loom_tests;
mod protocol;

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::time::Duration;

use super::native::futex;
use futex::Word;
use protocol::{RawCondvar, RawMutex};

/// std's `Mutex` without poison; see the module's comment.
#[derive(Default)]
pub(crate) struct Mutex<T> {
    raw: RawMutex,
    value: UnsafeCell<T>,
}

// SAFETY: the value moves between threads with the holder of the lock, one at a time.
unsafe impl<T: Send> Send for Mutex<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Mutex<T> {}
impl<T> UnwindSafe for Mutex<T> {}
impl<T> RefUnwindSafe for Mutex<T> {}

impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex { raw: RawMutex::of(Word::new(0)), value: UnsafeCell::new(value) }
    }

    /// Blocks the thread until the lock is free, and takes it.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.raw.lock();
        MutexGuard { mutex: self, thread: PhantomData }
    }

    /// Takes the lock if it is free.
    #[cfg_attr(
        any(miri, overlapped_loom, not(target_os = "linux")),
        allow(dead_code, reason = "`locals` uses it, which is not everywhere")
    )]
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.raw.try_lock().then(|| MutexGuard { mutex: self, thread: PhantomData })
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex").finish_non_exhaustive()
    }
}

/// The guard of a [`Mutex`]'s value. Stays on its thread.
pub(crate) struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives `&T` only.
unsafe impl<T: Sync> Sync for MutexGuard<'_, T> {}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock, so no other thread changes the value meanwhile.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock and is borrowed mutably: no other code looks at the value.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.raw.unlock();
    }
}

/// std's `Condvar` for [`Mutex`].
pub(crate) struct Condvar {
    raw: RawCondvar,
}

impl Default for Condvar {
    fn default() -> Condvar {
        Condvar::new()
    }
}

impl Condvar {
    pub(crate) const fn new() -> Condvar {
        Condvar { raw: RawCondvar::of(Word::new(0)) }
    }

    /// Releases the lock, blocks the thread until notified, and takes the lock again. May return
    /// without a notification.
    pub(crate) fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.raw.wait(&guard.mutex.raw, None);
        guard
    }

    /// Waits as [`Condvar::wait`] does, for `limit` at most; true: for all of it.
    pub(crate) fn wait_timeout<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        limit: Duration,
    ) -> (MutexGuard<'a, T>, bool) {
        let woken = self.raw.wait(&guard.mutex.raw, Some(limit));
        (guard, !woken)
    }

    /// Wakes one waiter.
    pub(crate) fn notify_one(&self) {
        self.raw.notify_one();
    }
}

#[cfg(all(test, not(overlapped_loom)))]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn threads_exclude_each_other_and_lose_no_notification() {
        const ROUNDS: usize = if cfg!(miri) { 50 } else { 20_000 };
        let shared = Arc::new((Mutex::new(0), Condvar::default()));
        // Two threads take turns, the others disturb them.
        let turns = |mine: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for round in 0..ROUNDS {
                    let mut turn = shared.0.lock();
                    while *turn != 2 * round + mine {
                        turn = shared.1.wait(turn);
                    }
                    *turn += 1;
                    drop(turn);
                    shared.1.notify_one();
                }
            })
        };
        let threads = [turns(0), turns(1)];
        while *shared.0.lock() < 2 * ROUNDS {
            drop(shared.0.try_lock());
            thread::yield_now();
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(*shared.0.lock(), 2 * ROUNDS);
    }

    #[test]
    fn a_wait_ends_by_its_limit_and_gives_the_lock_back() {
        let (mutex, condvar) = (Mutex::new(7), Condvar::default());
        let began = std::time::Instant::now();
        let limit = Duration::from_millis(5);
        let mut guard = mutex.lock();
        loop {
            let (again, timed_out) = condvar.wait_timeout(guard, limit);
            guard = again;
            if timed_out {
                break;
            }
        }
        assert!(began.elapsed() >= limit && mutex.try_lock().is_none());
        drop(guard);
        assert_eq!(mutex.try_lock().map(|value| *value), Some(7));
    }

    #[test]
    fn a_panic_under_the_lock_releases_it() {
        let mutex = Arc::new(Mutex::new(7));
        let theirs = Arc::clone(&mutex);
        let ended = thread::spawn(move || {
            let _guard = theirs.lock();
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(ended.join().is_err());
        assert_eq!(*mutex.lock(), 7);
    }
}
