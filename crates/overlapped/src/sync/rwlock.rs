//! Many readers, or one writer.

use std::cell::UnsafeCell;
use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::ptr::NonNull;
use std::sync::{LockResult, TryLockError, TryLockResult};

use super::base::lock::{Lock, Panicking, tried};
use crate::sched::LockKind;

/// The maximum number of readers at a time, as std's.
const READERS_MAX: usize = (1 << 30) - 2;
/// The permits of a lock: a writer takes all, and readers always leave one.
const ALL: usize = READERS_MAX + 1;

/// `std::sync::RwLock` that blocks the calling tasklet only; outside a scheduler, the thread.
///
/// Readers and writers are served in order of arrival: readers that come after a waiting writer
/// wait for it. A writer at the head is only woken at first, and another may take the lock before
/// it runs. Then the next release hands it the lock, as in a [`Mutex`](super::Mutex). Readers at
/// the head all get the lock at once. A reader that locks again while a writer waits blocks itself,
/// as with std's.
///
/// A panic or a kill while writing poisons it, as std's. The rules of [`Mutex`](super::Mutex) for
/// kills, deadlines and unwinding hold here as well. The rules for deadlocks hold while a writer
/// has the lock. Readers are only counted, so a wait for readers counts as one that may end.
///
/// ```
/// use overlapped::sync::RwLock;
/// overlapped::run(|| {
///     let names = RwLock::new(vec!["ping"]);
///     overlapped::scope(|s| {
///         s.spawn(|| names.write().unwrap().push("pong"));
///         s.spawn(|| assert_eq!(names.read().unwrap().len(), 2));
///     });
/// }).unwrap();
/// ```
pub struct RwLock<T: ?Sized> {
    lock: Lock<ALL>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock owns its value, and hands it out whole (`into_inner`).
unsafe impl<T: ?Sized + Send> Send for RwLock<T> {}
// SAFETY: a writer is alone, so the value changes hands (`Send`); readers share it (`Sync`).
unsafe impl<T: ?Sized + Send + Sync> Sync for RwLock<T> {}
impl<T: ?Sized> UnwindSafe for RwLock<T> {}
impl<T: ?Sized> RefUnwindSafe for RwLock<T> {}

/// The right to read the value of an [`RwLock`], until it is dropped.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockReadGuard<'a, T: ?Sized> {
    lock: &'a Lock<ALL>,
    /// A pointer to the value, because a reference to the `RwLock` would make the guard invariant
    /// in `T`. It keeps the guard on its thread.
    value: NonNull<T>,
    borrow: PhantomData<&'a T>,
}

/// The right to change the value of an [`RwLock`], until it is dropped.
#[must_use = "if unused the RwLock will immediately unlock"]
pub struct RwLockWriteGuard<'a, T: ?Sized> {
    lock: &'a RwLock<T>,
    panicking: Panicking,
    thread: PhantomData<*const ()>,
}

// SAFETY: a shared guard gives a shared value.
unsafe impl<T: ?Sized + Sync> Sync for RwLockReadGuard<'_, T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized + Sync> Sync for RwLockWriteGuard<'_, T> {}

impl<T> RwLock<T> {
    /// Makes an unlocked lock.
    #[inline]
    pub const fn new(value: T) -> RwLock<T> {
        RwLock { lock: Lock::new(), value: UnsafeCell::new(value) }
    }

    /// Returns the value.
    ///
    /// # Errors
    /// The value in an error, if the lock is poisoned.
    pub fn into_inner(self) -> LockResult<T> {
        let RwLock { lock, value } = self;
        lock.guarded(value.into_inner())
    }
}

impl<T: ?Sized> RwLock<T> {
    /// Waits until the value may be read.
    ///
    /// # Errors
    /// The guard in an error, if the lock is poisoned.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch), or if the caller
    /// itself has the lock for writing.
    #[track_caller]
    #[inline]
    pub fn read(&self) -> LockResult<RwLockReadGuard<'_, T>> {
        self.lock.lock_shared(LockKind::Read);
        self.lock.guarded(self.reader())
    }

    /// Takes the lock to read if that needs no wait.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if a writer has the lock or comes first; the guard in an error,
    /// if the lock is poisoned.
    #[inline]
    pub fn try_read(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        tried(self.read_now())
    }

    #[inline]
    fn read_now(&self) -> TryLockResult<RwLockReadGuard<'_, T>> {
        if !self.lock.try_lock_shared() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.lock.guarded(self.reader())?)
    }

    /// Waits until the value may be changed.
    ///
    /// # Errors
    /// The guard in an error, if the lock is poisoned.
    ///
    /// # Panics
    /// If it would have to wait inside [`no_switch`](crate::task::no_switch), or if the caller
    /// itself has the lock for writing.
    #[track_caller]
    #[inline]
    pub fn write(&self) -> LockResult<RwLockWriteGuard<'_, T>> {
        self.lock.lock(LockKind::Write);
        self.lock.guarded(self.writer())
    }

    /// Takes the lock to write if that needs no wait.
    ///
    /// # Errors
    /// [`TryLockError::WouldBlock`] if others have the lock or come first; the guard in an error,
    /// if the lock is poisoned.
    #[inline]
    pub fn try_write(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        tried(self.write_now())
    }

    #[inline]
    fn write_now(&self) -> TryLockResult<RwLockWriteGuard<'_, T>> {
        if !self.lock.try_lock() {
            return Err(TryLockError::WouldBlock);
        }
        Ok(self.lock.guarded(self.writer())?)
    }

    /// Tells whether a panic or a kill has poisoned the lock.
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
    /// The value in an error, if the lock is poisoned.
    pub fn get_mut(&mut self) -> LockResult<&mut T> {
        self.lock.guarded(self.value.get_mut())
    }

    /// Makes the guard, for a caller that has a reader's permit.
    #[inline]
    fn reader(&self) -> RwLockReadGuard<'_, T> {
        // SAFETY: the address of a field is not null.
        let value = unsafe { NonNull::new_unchecked(self.value.get()) };
        RwLockReadGuard { lock: &self.lock, value, borrow: PhantomData }
    }

    /// Makes the guard, for a caller that has the lock.
    #[inline]
    fn writer(&self) -> RwLockWriteGuard<'_, T> {
        RwLockWriteGuard { lock: self, panicking: Panicking::now(), thread: PhantomData }
    }
}

impl<'a, T: ?Sized> RwLockWriteGuard<'a, T> {
    /// Goes on as a reader. No writer comes in between.
    pub fn downgrade(s: RwLockWriteGuard<'a, T>) -> RwLockReadGuard<'a, T> {
        let lock = s.lock;
        lock.lock.poison_since(s.panicking);
        std::mem::forget(s);
        lock.lock.downgrade();
        lock.reader()
    }
}

impl<T: Default> Default for RwLock<T> {
    fn default() -> RwLock<T> {
        RwLock::new(T::default())
    }
}

impl<T> From<T> for RwLock<T> {
    fn from(value: T) -> RwLock<T> {
        RwLock::new(value)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("RwLock");
        match self.read_now() {
            Ok(guard) => text.field("data", &&*guard),
            Err(TryLockError::Poisoned(error)) => text.field("data", &&**error.get_ref()),
            Err(TryLockError::WouldBlock) => text.field("data", &format_args!("<locked>")),
        };
        text.field("poisoned", &self.is_poisoned()).finish_non_exhaustive()
    }
}

impl<T: ?Sized> Deref for RwLockReadGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard borrows the lock that has the value, and has a reader's permit, so
        // nothing changes the value.
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> Deref for RwLockWriteGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard has the lock, so nothing else reaches the value.
        unsafe { &*self.lock.value.get() }
    }
}

impl<T: ?Sized> DerefMut for RwLockWriteGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the guard has the lock and is borrowed alone, so nothing else reaches the value.
        unsafe { &mut *self.lock.value.get() }
    }
}

impl<T: ?Sized> Drop for RwLockReadGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.unlock_shared();
    }
}

impl<T: ?Sized> Drop for RwLockWriteGuard<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.lock.lock.poison_since(self.panicking);
        self.lock.lock.unlock();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockReadGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RwLockWriteGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
