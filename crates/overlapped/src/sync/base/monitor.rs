//! A state under a lock, and waits until it has changed: a monitor whose one condition is "check
//! again". It is for changes that all waiters must see: [`broadcast`](crate::sync::broadcast) and
//! [`watch`](crate::sync::watch).
//!
//! A waiter checks once more under the lock before it waits, so it misses no change. It keeps
//! nothing that others wait for, so a killed waiter has nothing to pass on.

use super::queue::{Key, Queue, wake_all};
use super::rt::{Mutex, Woken, leave, lock, prepare, with_cleanup};

/// A state, its lock, and its waiters.
pub(in crate::sync) struct Monitor<S> {
    inner: Mutex<Inner<S>>,
}

struct Inner<S> {
    state: S,
    waiting: Queue<()>,
}

/// The reason why a wait ended without a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) enum Unseen {
    TimedOut,
    /// The caller may not wait.
    Refused,
}

impl<S> Monitor<S> {
    pub(in crate::sync) fn new(state: S) -> Monitor<S> {
        Monitor { inner: Mutex::new(Inner { state, waiting: Queue::new() }) }
    }

    /// Runs `f` under the lock, for a change that no waiter waits for. No user code runs in `f`, so
    /// values that must be dropped leave in its result.
    pub(in crate::sync) fn with<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        f(&mut lock(&self.inner).state)
    }

    /// Runs `f` as [`Monitor::with`] does, and then makes all waiters check again.
    pub(in crate::sync) fn change<R>(&self, f: impl FnOnce(&mut S) -> R) -> R {
        let mut inner = lock(&self.inner);
        let result = f(&mut inner.state);
        let wakers = inner.waiting.grant_all();
        drop(inner);
        wake_all(wakers);
        result
    }

    /// Waits until `look` returns a result, or the port's clock shows `until`. `look` runs under
    /// the lock, at first and after each change.
    pub(in crate::sync) fn wait<R>(
        &self,
        what: &'static str,
        until: u64,
        mut look: impl FnMut(&mut S) -> Option<R>,
    ) -> Result<R, Unseen> {
        let mut is_late = false;
        loop {
            if let Some(found) = self.with(&mut look) {
                return Ok(found);
            }
            if is_late {
                return Err(Unseen::TimedOut);
            }
            let (wait, waker) = prepare().map_err(|_| Unseen::Refused)?;
            let mut inner = lock(&self.inner);
            if let Some(found) = look(&mut inner.state) {
                return Ok(found);
            }
            let key = inner.waiting.push((), waker);
            drop(inner);
            let entry = Entry { monitor: self, key };
            with_cleanup(&|| entry.leave(), || match wait.park(what, until) {
                Woken::Yes => {}
                Woken::TimedOut => is_late = true,
                Woken::Killed => leave(),
            });
        }
    }
}

/// A waiter's entry. The waiter leaves when it is dropped.
struct Entry<'a, S> {
    monitor: &'a Monitor<S>,
    key: Key,
}

impl<S> Entry<'_, S> {
    fn leave(&self) {
        lock(&self.monitor.inner).waiting.remove(self.key);
    }
}

impl<S> Drop for Entry<'_, S> {
    fn drop(&mut self) {
        self.leave();
    }
}
