//! The table itself: the tasklets in it, and their wakes.

use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use overlapped::sync::Event;

use super::protocol::{List, Table};
use super::rt::{AtomicUsize, BUCKETS, Lock};
use crate::caller::Unmarked;

/// The source of a wake, with its description for a dump.
#[derive(Clone, Copy)]
pub(crate) enum WakeSource {
    /// Tasklets and threads of this process. If none of them could wake the waiter, the run ends
    /// with a deadlock report.
    Threads(&'static str),
    /// Signal handlers and other processes, too.
    Anywhere(&'static str),
}

/// The part of a waiter that does not concern the protocol.
pub(super) struct Tasklet {
    pub(super) from: WakeSource,
    /// True if it waits for a post.
    pub(super) is_posted: bool,
    pub(super) event: Event,
}

pub(super) static TABLE: Table<Tasklet> =
    Table { buckets: [const { Lock::new(List::EMPTY) }; BUCKETS], waiting: AtomicUsize::new(0) };

/// Empties the table. Async-signal-safe.
///
/// # Safety
/// The caller is the only thread of the process.
pub(super) unsafe fn forget_all() {
    for bucket in &TABLE.buckets {
        // SAFETY: the caller's promise: threads that may have been inside a bucket do not exist
        // here.
        unsafe { bucket.reset(List::EMPTY) };
    }
    TABLE.waiting.store(0, SeqCst);
}

/// Returns the lowest address above `before` in a bucket where a tasklet waits for a post.
pub(super) fn next_posted(bucket: usize, before: usize) -> Option<usize> {
    TABLE.buckets[bucket].with(|list| {
        // SAFETY: under the bucket's lock; linked nodes are alive.
        let nodes = list.iter().map(|node| unsafe { node.as_ref() });
        let posted = nodes.filter(|node| node.payload.is_posted && node.address > before);
        posted.map(|node| node.address).min()
    })
}

/// Tells whether any tasklet waits, or is about to. The answer is a hint, unless a fence precedes
/// it.
pub(crate) fn has_waiters() -> bool {
    TABLE.waiting.load(Relaxed) > 0
}

/// Wakes at most `most` tasklets that wait for the address, and returns their number. Call it after
/// the change that they wait for.
pub(crate) fn wake(address: usize, most: usize, bits: u32) -> usize {
    TABLE.wake(address, most, bits, |tasklet| {
        // The library's own locks, taken to wake a tasklet of another thread, go to libc.
        let _unmarked = Unmarked::begin();
        tasklet.event.set();
    })
}
