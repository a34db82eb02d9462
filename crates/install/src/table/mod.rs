//! Tasklets that wait for an address: a table beside the kernel's own.
//!
//! **No wake is lost**, and none is spent on two or on nobody: [`protocol`] says why, and loom goes
//! through the orders (`loom_tests`).
//!
//! **In a child of fork(2)** nobody waits: the table is emptied, so that its wakes are not spent on
//! tasklets of the parent's.
//!
//! **Nothing happens under a bucket's lock** but links of a list: no memory is asked for, nobody is
//! woken. The lock is no function of libc, and whoever holds it calls none. Signal handlers come to
//! it by [`note_post`] alone, which takes no lock: see [`posts`].

#[cfg(all(test, overlapped_loom))]
mod loom_tests;
mod posts;
mod protocol;
mod rt;

use std::io;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::task::shield;

use crate::caller::{Call, Unmarked};

use posts::Counted;
pub(crate) use posts::note_post;
use protocol::{Entry, List, Table, bucket_of};
use rt::{AtomicUsize, BUCKETS, Lock};

/// The source of a wake, and the words for it in a dump.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// From tasklets and threads of this process. Where there are none that could, the run ends
    /// with a verdict.
    Threads(&'static str),
    /// From signal handlers or other processes, too.
    Anywhere(&'static str),
}

/// A tasklet that waits, as far as the protocol is not concerned.
struct Tasklet {
    from: From,
    /// It waits for a post.
    is_posted: bool,
    event: Event,
}

static TABLE: Table<Tasklet> =
    Table { buckets: [const { Lock::new(List::EMPTY) }; BUCKETS], waiting: AtomicUsize::new(0) };

/// Empties the table, in a child of fork(2): those who wait are the parent's, and whoever held a
/// lock is no more. Async-signal-safe.
pub(crate) fn forget_all() {
    for bucket in &TABLE.buckets {
        // SAFETY: this is the only thread.
        unsafe { bucket.begin_anew(List::EMPTY) };
    }
    TABLE.waiting.store(0, SeqCst);
    posts::forget_all();
}

/// A tasklet in the table.
pub(crate) struct Waiter {
    entry: Entry<Tasklet>,
    /// Dropped after the entry.
    _posted: Option<Counted>,
    /// It is woken by whoever changes what it waits for.
    pub(crate) is_heard: bool,
}

impl Waiter {
    fn new(address: usize, bits: u32, from: From, posted: Option<(Counted, bool)>) -> Waiter {
        let what = Tasklet { from, is_posted: posted.is_some(), event: Event::new() };
        let is_heard = posted.as_ref().is_none_or(|(_, is_heard)| *is_heard);
        let entry = TABLE.begin(address, bits, what);
        Waiter { entry, _posted: posted.map(|(counted, _)| counted), is_heard }
    }

    /// Enters the table, if `must_wait` still says so there.
    pub(crate) fn enter_if(
        address: usize,
        bits: u32,
        from: From,
        must_wait: impl FnOnce() -> bool,
    ) -> Option<Waiter> {
        let waiter = Waiter::new(address, bits, from, None);
        waiter.entry.link_if(must_wait).then_some(waiter)
    }

    /// Enters the table. What the caller looks at afterwards is as new as it must be.
    pub(crate) fn enter(address: usize, from: From) -> Waiter {
        Waiter::new(address, u32::MAX, from, None).link()
    }

    /// As [`Waiter::enter`], to wait for [`note_post`].
    pub(crate) fn enter_for_post(address: usize) -> Waiter {
        let from = From::Anywhere("a semaphore of C's");
        Waiter::new(address, u32::MAX, from, Some(Counted::begin(address))).link()
    }

    fn link(self) -> Waiter {
        self.entry.link();
        self
    }

    /// Blocks the tasklet until it is woken, or until one of the times; tells which. `look_after`
    /// is for callers that look again. Neither a kill nor a deadline set from outside ends it.
    pub(crate) fn wait(
        &self,
        call: &Call,
        look_after: Option<Duration>,
        limit: Option<Duration>,
    ) -> bool {
        self.wait_or_interrupted(call, look_after, limit).unwrap_or(false)
    }

    /// As [`Waiter::wait`]; inside `interruptible` a signal handler ends the wait with an error,
    /// where handlers may end it at all ([`From::Anywhere`]).
    pub(crate) fn wait_or_interrupted(
        &self,
        call: &Call,
        look_after: Option<Duration>,
        limit: Option<Duration>,
    ) -> io::Result<bool> {
        call.count();
        let Tasklet { event, from, .. } = self.entry.what();
        shield(|| match *from {
            From::Threads(what) => {
                Ok(event.wait_for_threads(what, self.entry.address(), look_after, limit))
            }
            From::Anywhere(what) => {
                event.wait_for_anybody(what, [look_after, limit].into_iter().flatten().min())
            }
        })
    }

    /// Leaves the table. False: a waker was first, and its wake has been this one's.
    pub(crate) fn leave(&self) -> bool {
        self.entry.leave()
    }
}

/// The lowest address above `before` in a bucket where a tasklet waits for a post.
fn next_posted(bucket: usize, before: usize) -> Option<usize> {
    TABLE.buckets[bucket].with(|list| {
        // SAFETY: under the bucket's lock; linked nodes are alive.
        let nodes = list.iter().map(|node| unsafe { node.as_ref() });
        let posted = nodes.filter(|node| node.what.is_posted && node.address > before);
        posted.map(|node| node.address).min()
    })
}

/// Tells whether any tasklet waits, or is about to. Only a hint, but after a fence.
pub(crate) fn has_waiters() -> bool {
    TABLE.waiting.load(Relaxed) > 0
}

/// Wakes at most `most` tasklets that wait for the address; how many. Call it after the change that
/// they wait for.
pub(crate) fn wake(address: usize, most: usize, bits: u32) -> usize {
    TABLE.wake(address, most, bits, |tasklet| {
        // What the library locks to wake a tasklet of another thread is locked as ever.
        let _unmarked = Unmarked::begin();
        tasklet.event.set();
    })
}
