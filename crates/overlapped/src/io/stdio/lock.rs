//! The lock of a standard stream, for tasklets and plain threads: first come, first served.
//!
//! std's locks block the thread: if a tasklet waited for a slow terminal with the lock held, a
//! second one would block the thread for good. This lock lets the tasklet wait. Its owner may take
//! it again, as in std.
//!
//! A guard may outlive the tasklet that took it: as a result, through a channel, in a thread-local.
//! The lock is released when the guard is dropped, and not before.
//!
//! While a tasklet unwinds it cannot wait: a call that can return an error returns it, and `lock()`
//! ends the process with a message.

use std::cell::{RefCell, RefMut};
use std::io;
use std::marker::PhantomData;

use crate::sync::ReentrantLock;
use crate::task::{CannotWait, would_wait_while_unwinding};

/// A value behind the lock.
pub(super) struct Locked<T> {
    lock: ReentrantLock,
    value: RefCell<T>,
    /// The name in dumps and messages.
    name: &'static str,
}

// SAFETY: the value is reached through a guard only. Each guard stands for one time that the lock
// was taken: all guards that exist are the holder's, and another caller gets the lock when the last
// of them is gone. The holder, a tasklet or a thread, does not move between threads, nor does a
// guard, so all of them are on one thread. The accesses of one holder happen before those of the
// next, by the lock.
unsafe impl<T: Send> Sync for Locked<T> {}

/// The right to use the value; not `Send`.
pub(super) struct Guard<'a, T> {
    locked: &'a Locked<T>,
    owner: PhantomData<*const ()>,
}

impl<T> Locked<T> {
    pub(super) fn new(name: &'static str, value: T) -> Locked<T> {
        Locked { lock: ReentrantLock::new(), value: RefCell::new(value), name }
    }

    /// Waits for the lock.
    ///
    /// # Panics
    /// Inside `no_switch`, if it would wait.
    pub(super) fn lock(&self) -> Guard<'_, T> {
        match self.lock_or_refuse() {
            Ok(guard) => guard,
            Err(CannotWait::Unwinding) => {
                let what = format!("the lock of {}, which another caller holds", self.name);
                would_wait_while_unwinding(
                    &what,
                    "Write by the handle instead, which returns an error",
                );
            }
            Err(reason) => panic!("the lock of {} {}", self.name, reason.message()),
        }
    }

    /// Waits for the lock, if the caller may wait.
    pub(super) fn lock_or_refuse(&self) -> Result<Guard<'_, T>, CannotWait> {
        self.lock.lock(self.name)?;
        Ok(self.guard())
    }

    /// Takes the lock if it is free or the caller's own. Never waits, not for the queue of waiters
    /// either.
    pub(super) fn try_lock(&self) -> Option<Guard<'_, T>> {
        self.lock.try_lock().then(|| self.guard())
    }

    /// Makes the guard, for a caller that has just taken the lock.
    fn guard(&self) -> Guard<'_, T> {
        Guard { locked: self, owner: PhantomData }
    }
}

impl<'a, T> Guard<'a, T> {
    /// Returns the value.
    ///
    /// # Errors
    /// `ResourceBusy` if another guard of the owner's uses it. That guard was given to another
    /// tasklet, which waits with it; or the caller is an observer, in the midst of a call.
    pub(super) fn value(&self) -> io::Result<RefMut<'a, T>> {
        let value = self.locked.value.try_borrow_mut();
        value.map_err(|_| {
            let text = format!("{} is in use by another guard of its owner", self.locked.name);
            io::Error::new(io::ErrorKind::ResourceBusy, text)
        })
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.locked.lock.unlock();
    }
}
