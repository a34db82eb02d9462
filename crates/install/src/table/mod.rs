//! Tasklets that wait for an address: a table beside the kernel's own.
//!
//! **No wake is lost**, given to two waiters, or given to none: [`protocol`] says why, and
//! `loom_tests` model-checks the orders.
//!
//! **In a child of fork(2)** there are no waiters: the table is emptied, so that no wake is spent
//! on the parent's tasklets.
//!
//! **Only links of a list change under a bucket's lock**: no memory is allocated, no waiter is
//! woken. The lock is no function of libc, and its holder calls none. Signal handlers reach the
//! table by [`record_post`] alone, which takes no lock: see [`posts`].

#[cfg(all(test, overlapped_loom))]
mod loom_tests;
mod posts;
mod protocol;
mod rt;
mod waiters;

use std::io;
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::task::shield;

use crate::caller::Call;

use posts::PostWaiter;
pub(crate) use posts::record_post;
use protocol::Entry;
use waiters::{TABLE, Tasklet};
pub(crate) use waiters::{WakeSource, has_waiters, wake};

/// Empties the table, in a child of fork(2): the waiters are the parent's, and the holder of a lock
/// does not exist here. Async-signal-safe.
pub(crate) fn forget_all() {
    // SAFETY: this is the only thread of the process.
    unsafe { waiters::forget_all() };
    posts::forget_all();
}

/// A tasklet in the table.
pub(crate) struct Waiter {
    entry: Entry<Tasklet>,
    /// Dropped after the entry.
    _posted: Option<PostWaiter>,
    /// True if the code that changes what it waits for wakes it.
    pub(crate) is_notified: bool,
}

impl Waiter {
    fn new(
        address: usize,
        bits: u32,
        from: WakeSource,
        posted: Option<(PostWaiter, bool)>,
    ) -> Waiter {
        let what = Tasklet { from, is_posted: posted.is_some(), event: Event::new() };
        let is_notified = posted.as_ref().is_none_or(|(_, is_notified)| *is_notified);
        let entry = TABLE.begin(address, bits, what);
        Waiter { entry, _posted: posted.map(|(waiter, _)| waiter), is_notified }
    }

    /// Enters the table, if `must_wait` returns true there.
    pub(crate) fn enter_if(
        address: usize,
        bits: u32,
        from: WakeSource,
        must_wait: impl FnOnce() -> bool,
    ) -> Option<Waiter> {
        let waiter = Waiter::new(address, bits, from, None);
        waiter.entry.link_if(must_wait).then_some(waiter)
    }

    /// Enters the table. Values that the caller reads afterwards are at least as new as the entry.
    pub(crate) fn enter(address: usize, from: WakeSource) -> Waiter {
        Waiter::new(address, u32::MAX, from, None).link()
    }

    /// Enters the table as [`Waiter::enter`] does, to wait for [`record_post`].
    pub(crate) fn enter_for_post(address: usize) -> Waiter {
        let from = WakeSource::Anywhere("a semaphore of C's");
        Waiter::new(address, u32::MAX, from, Some(PostWaiter::begin(address))).link()
    }

    fn link(self) -> Waiter {
        self.entry.link();
        self
    }

    /// Blocks the tasklet until it is woken, or until one of the times; returns whether it was
    /// woken. `recheck_after` is for callers that check again. Neither a kill nor a deadline set
    /// from outside ends the wait.
    pub(crate) fn wait(
        &self,
        call: &Call,
        recheck_after: Option<Duration>,
        limit: Option<Duration>,
    ) -> bool {
        self.wait_or_interrupted(call, recheck_after, limit).unwrap_or(false)
    }

    /// Waits as [`Waiter::wait`] does. Inside `interruptible` a signal handler ends the wait with
    /// an error, if handlers may end it at all ([`WakeSource::Anywhere`]).
    pub(crate) fn wait_or_interrupted(
        &self,
        call: &Call,
        recheck_after: Option<Duration>,
        limit: Option<Duration>,
    ) -> io::Result<bool> {
        call.count();
        let Tasklet { event, from, .. } = self.entry.payload();
        shield(|| match *from {
            WakeSource::Threads(what) => {
                Ok(event.wait_for_threads(what, self.entry.address(), recheck_after, limit))
            }
            WakeSource::Anywhere(what) => {
                event.wait_interruptible(what, [recheck_after, limit].into_iter().flatten().min())
            }
        })
    }

    /// Leaves the table. Returns false if a waker was first: then this waiter has taken the wake.
    pub(crate) fn leave(&self) -> bool {
        self.entry.leave()
    }
}
