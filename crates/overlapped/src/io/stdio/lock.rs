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
use std::collections::VecDeque;
use std::io;
use std::marker::PhantomData;

use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::waiter::{self, Caller, NEVER, Waker, Woken};
use crate::task::{CannotWait, would_wait_while_unwinding};

/// A value behind the lock.
pub(super) struct Locked<T> {
    turns: Mutex<Turns>,
    value: RefCell<T>,
    /// The name in dumps and messages.
    name: &'static str,
}

// SAFETY: the value is reached through a guard only. All guards that exist were made by the owner
// in `turns`: another caller becomes the owner when the last of them is gone, and a `Caller` never
// names two callers. An owner, a tasklet or a thread, does not move between threads, nor does a
// guard, so all of them are on one thread. The accesses of one owner happen before those of the
// next, by the mutex around `turns`.
unsafe impl<T: Send> Sync for Locked<T> {}

/// The owner, and the queue of waiters.
#[derive(Default)]
struct Turns {
    owner: Option<Caller>,
    /// The number of the owner's guards that are not dropped.
    depth: usize,
    waiting: VecDeque<(Caller, Waker)>,
}

impl Turns {
    /// Takes the lock if it is free or the caller's own. Tells whether it did.
    fn take(&mut self, me: Caller) -> bool {
        if self.owner.is_some_and(|owner| owner != me) {
            return false;
        }
        // A guard that is forgotten stays counted.
        self.depth = self.depth.checked_add(1).expect("a standard stream is locked too often");
        self.owner = Some(me);
        true
    }
}

/// The right to use the value; not `Send`.
pub(super) struct Guard<'a, T> {
    locked: &'a Locked<T>,
    owner: PhantomData<*const ()>,
}

impl<T> Locked<T> {
    pub(super) fn new(name: &'static str, value: T) -> Locked<T> {
        Locked { turns: Mutex::default(), value: RefCell::new(value), name }
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
        let me = waiter::caller();
        if self.turns().take(me) {
            return Ok(self.guard());
        }
        let (wait, waker) = waiter::prepare()?;
        let mut turns = self.turns();
        if turns.take(me) {
            return Ok(self.guard());
        }
        turns.waiting.push_back((me, waker));
        drop(turns);
        match waiter::with_cleanup(&|| self.quit(me), || wait.park(self.name, NEVER)) {
            Woken::Yes => Ok(self.guard()),
            Woken::Killed => {
                self.quit(me);
                waiter::leave()
            }
            Woken::TimedOut => unreachable!("it waits without a limit"),
        }
    }

    /// Removes the waiter `me` from the queue, and releases the lock if it was handed over to `me`.
    fn quit(&self, me: Caller) {
        let mut turns = self.turns();
        turns.waiting.retain(|(waiter, _)| *waiter != me);
        let was_handed = turns.owner == Some(me);
        drop(turns);
        if was_handed {
            drop(self.guard());
        }
    }

    /// Takes the lock if it is free or the caller's own. Never waits, not for the queue's mutex
    /// either.
    pub(super) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let mut turns = self.turns.try_lock()?;
        turns.take(waiter::caller()).then(|| self.guard())
    }

    fn guard(&self) -> Guard<'_, T> {
        Guard { locked: self, owner: PhantomData }
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        self.turns.lock()
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
        let mut turns = self.locked.turns();
        turns.depth -= 1;
        if turns.depth > 0 {
            return;
        }
        turns.owner = None;
        if let Some((next, waker)) = turns.waiting.pop_front() {
            turns.take(next);
            drop(turns);
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s16_a_lock_that_is_taken_too_often_panics_and_stays_as_it_was() {
        let locked = Locked::new("a test", 7);
        drop(locked.lock());
        let guard = locked.lock();
        locked.turns().depth = usize::MAX;
        let again = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(locked.lock())));
        assert!(again.is_err());
        assert_eq!(locked.turns().depth, usize::MAX);
        locked.turns().depth = 1;
        drop(guard);
        assert_eq!(*locked.lock().value().unwrap(), 7);
        println!("RELIABILITY S16 1 depth of a standard stream's lock at its end");
    }
}
