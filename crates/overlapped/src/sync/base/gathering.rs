//! A queue of waiters that are released together, or one after another:
//! [`Condvar`](crate::sync::Condvar), [`Barrier`](crate::sync::Barrier),
//! [`Event`](crate::sync::Event).

use std::cell::Cell;

use super::queue::{Key, Queue, wake_all};
use super::rt::lock;
use crate::sched::Awaited;
use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::CannotWait;
use crate::task::waiter::{self, Wait, Woken};

/// The waiters; the queue is made when the first one comes.
pub(in crate::sync) struct Gathering {
    queue: Mutex<Option<Box<Queue<()>>>>,
}

/// The queue, locked.
pub(in crate::sync) struct LockedQueue<'a>(MutexGuard<'a, Option<Box<Queue<()>>>>);

impl Gathering {
    pub(in crate::sync) const fn new() -> Gathering {
        Gathering { queue: Mutex::new(None) }
    }

    pub(in crate::sync) fn lock(&self) -> LockedQueue<'_> {
        LockedQueue(lock(&self.queue))
    }

    /// Queues the caller if `stay`, called under the gathering's lock, returns true. Otherwise
    /// returns `None`.
    ///
    /// Preparing to wait is a suspension point: a pending kill unwinds here.
    pub(in crate::sync) fn join(
        &self,
        stay: impl FnOnce(&mut LockedQueue<'_>) -> bool,
    ) -> Result<Option<Entry<'_>>, CannotWait> {
        let (wait, waker) = waiter::prepare()?;
        let mut queue = self.lock();
        if !stay(&mut queue) {
            return Ok(None);
        }
        let key = queue.0.get_or_insert_with(|| Box::new(Queue::new())).push((), waker);
        Ok(Some(Entry { gathering: self, key, wait: Cell::new(Some(wait)) }))
    }

    /// Releases the first waiter.
    pub(in crate::sync) fn release_one(&self) {
        let mut queue = self.lock();
        let waker = queue.0.as_mut().and_then(|queue| queue.grant_first());
        drop(queue);
        wake_all(waker);
    }
}

impl LockedQueue<'_> {
    pub(in crate::sync) fn waiting(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.waiting())
    }

    /// Releases all waiters.
    pub(in crate::sync) fn release_all(mut self) {
        let wakers = self.0.as_mut().map_or_else(Vec::new, |queue| queue.grant_all());
        drop(self);
        wake_all(wakers);
    }
}

/// A waiter's entry in the queue. The waiter leaves when it is dropped.
pub(in crate::sync) struct Entry<'a> {
    gathering: &'a Gathering,
    key: Key,
    wait: Cell<Option<Wait>>,
}

impl Entry<'_> {
    /// Waits for the release. Returns whether the caller was released before the port's clock
    /// showed `until`.
    pub(in crate::sync) fn wait(&self, what: &'static str, until: u64) -> bool {
        let cleanup = || {
            self.leave();
        };
        waiter::with_cleanup(&cleanup, || self.wait_within(what, until))
    }

    /// Waits for a change that threads of this process must bring about.
    pub(in crate::sync) fn wait_for_threads(
        &self,
        awaited: Awaited,
        until: u64,
        polls: bool,
    ) -> bool {
        let cleanup = || {
            self.leave();
        };
        waiter::with_cleanup(&cleanup, || {
            let wait = self.wait.take().expect("an entry waits once");
            if wait.park_for_threads(awaited, until, polls) == Woken::Killed {
                waiter::leave();
            }
            self.is_released()
        })
    }

    /// Waits inside the caller's own cleanup, which removes the entry.
    pub(in crate::sync) fn wait_within(&self, what: &'static str, until: u64) -> bool {
        let wait = self.wait.take().expect("an entry waits once");
        if wait.park(what, until) == Woken::Killed {
            waiter::leave();
        }
        self.is_released()
    }

    /// Removes the entry, once. Returns whether the waiter had been released.
    pub(in crate::sync) fn leave(&self) -> bool {
        let mut queue = self.gathering.lock();
        let queue = queue.0.as_mut().expect("it was made when the first waiter came");
        let ((), released) = queue.remove(self.key);
        released
    }

    pub(in crate::sync) fn is_released(&self) -> bool {
        let queue = self.gathering.lock();
        queue.0.as_ref().is_some_and(|queue| queue.is_granted(self.key))
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.leave();
    }
}
