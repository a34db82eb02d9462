//! Mutual exclusion: a value behind a lock of `base/lock`, which waits, hands over and poisons.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::base::lock::{Lock, Panicking, tried};
use crate::sched::LockKind;

/// `std::sync::Mutex` that blocks the calling tasklet only; outside a scheduler, the thread.
///
/// It may be held across any wait. Poisoning is std's: a guard that is dropped while its tasklet
/// unwinds, by a panic or by a kill, poisons the mutex.
///
/// **Fairness**: waiters are served in order. A release wakes the first of them; until that one
/// runs, others may take the lock. If it comes too late *once*, the next release hands the lock
/// over to it. So no waiter is overtaken for longer than it takes to wake it and to release the
/// lock once, and the lock is not idle while its next owner is still on its way from another
/// thread.
///
/// **Kills**: a tasklet that is killed while it waits leaves the queue, and passes on a lock that
/// has been handed over to it. Deadlines of [`timeout`](crate::time::timeout) do not end the wait:
/// there is no error to return.
///
/// **Unwinding** tasklets do not wait: see the [module](crate::sync).
///
/// **Deadlocks**: locking twice panics. If all tasklets of a scheduler wait for each other and for
/// locks that are held on its thread, there is a deadlock report, unless a holder belongs to an
/// earlier run. A guard that is given to a neighbour (through a [`Channel`](crate::Channel), as a
/// result) still counts as that of the tasklet that locked, which must not lock again before the
/// neighbour has dropped it.
///
/// ```
/// use std::rc::Rc;
/// use overlapped::{run, spawn, sync::Mutex, yield_now};
///
/// let total = Rc::new(Mutex::new(0));
/// run(|| {
///     for _ in 0..10 {
///         let total = total.clone();
///         spawn(move || {
///             let mut total = total.lock().unwrap();
///             let before = *total;
///             yield_now(); // The others wait; they do not see a value half changed.
///             *total = before + 1;
///         });
///     }
/// }).unwrap();
/// assert_eq!(*total.lock().unwrap(), 10);
/// ```
pub struct Mutex<T: ?Sized> {
    lock: Lock<1>,
    value: UnsafeCell<T>,
}

// SAFETY: the mutex owns its value, and hands it out whole (`into_inner`).
unsafe impl<T: ?Sized + Send> Send for Mutex<T> {}
// SAFETY: only the thread that holds the lock reaches the value, so it need not be `Sync`.
unsafe impl<T: ?Sized + Send> Sync for Mutex<T> {}
impl<T: ?Sized> UnwindSafe for Mutex<T> {}
impl<T: ?Sized> RefUnwindSafe for Mutex<T> {}

/// The right to access the value of a [`Mutex`], until it is dropped.
#[must_use = "if unused the Mutex will immediately unlock"]
pub struct MutexGuard<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
    panicking: Panicking,
    /// The guard stays on its thread, where the holder is known to be.
    thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives a shared value.
unsafe impl<T: ?Sized + Sync> Sync for MutexGuard<'_, T> {}

impl<T> Mutex<T> {
    /// Makes an unlocked mutex.
    #[inline]
    pub const fn new(value: T) -> Mutex<T> {
        Mutex { lock: Lock::new(), value: UnsafeCell::new(value) }
    }

    /// Returns the value.
    ///
    /// # Errors
    /// The value in an error, if the mutex is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let Mutex { lock, value } = self;
        lock.guarded(value.into_inner())
    }
}

impl<T: ?Sized> Mutex<T> {
    /// Waits for the lock and takes it.
    ///
    /// # Errors
    /// The guard in an error, if the mutex is poisoned.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch), or for the caller
    /// itself.
    #[track_caller]
    #[inline]
    pub fn lock(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock.lock(LockKind::Mutex);
        self.guard()
    }

    /// Takes the lock if that needs no wait.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if others have the lock or come first; the guard in an error,
    /// if the mutex is poisoned.
    #[inline]
    pub fn try_lock(&self) -> TryLockResult<MutexGuard<'_, T>> {
        tried(self.lock_now())
    }

    #[inline]
    fn lock_now(&self) -> TryLockResult<MutexGuard<'_, T>> {
        if !self.lock.try_lock() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.guard()?)
    }

    /// Tells whether a panic or a kill has poisoned the mutex.
    pub fn is_poisoned(&self) -> bool {
        self.lock.is_poisoned()
    }

    /// Marks the value as sound again.
    pub fn clear_poison(&self) {
        self.lock.clear_poison();
    }

    /// Returns the value, which no other code can have locked.
    ///
    /// # Errors
    /// The value in an error, if the mutex is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.lock.guarded(self.value.get_mut())
    }

    /// Makes the guard, for a caller that has the lock.
    #[inline]
    fn guard(&self) -> LockResult<MutexGuard<'_, T>> {
        self.lock.guarded(MutexGuard {
            mutex: self,
            panicking: Panicking::now(),
            thread: PhantomData,
        })
    }
}

impl<T: Default> Default for Mutex<T> {
    fn default() -> Mutex<T> {
        Mutex::new(T::default())
    }
}

impl<T> From<T> for Mutex<T> {
    fn from(value: T) -> Mutex<T> {
        Mutex::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Mutex");
        match self.lock_now() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &format_args!("<locked>")),
        };
        text.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<'a, T: ?Sized> MutexGuard<'a, T> {
    /// Turns the guard into one that cannot poison, for a wait that takes the lock again.
    pub(super) fn suspend(self) -> Suspended<'a, T> {
        let mutex = self.mutex;
        std::mem::forget(self);
        Suspended { mutex }
    }
}

/// A mutex whose lock the caller still has, and releases when this is dropped.
pub(super) struct Suspended<'a, T: ?Sized> {
    mutex: &'a Mutex<T>,
}

impl<'a, T: ?Sized> Suspended<'a, T> {
    /// Releases the lock.
    pub(super) fn unlock(self) -> &'a Mutex<T> {
        self.mutex
    }

    /// Keeps the lock after all.
    pub(super) fn resume(self) -> LockResult<MutexGuard<'a, T>> {
        let mutex = self.mutex;
        std::mem::forget(self);
        mutex.guard()
    }
}

impl<T: ?Sized> Drop for Suspended<'_, T> {
    fn drop(&mut self) {
        self.mutex.lock.unlock();
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock, so nothing changes the value.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock and is borrowed alone, so nothing else reaches the value.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.mutex.lock.poison_since(self.panicking);
        self.mutex.lock.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
