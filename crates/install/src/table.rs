//! Tasklets that wait for an address: a table beside the kernel's own.
//!
//! **No wake is lost.** A waiter counts itself in [`WAITING`] before it looks whether it has to
//! wait; a waker has made its change before it reads the count. Both are sequentially consistent,
//! so one of the two sees the other.
//!
//! **In a child of fork(2)** nobody waits: the table is emptied, so that its wakes are not spent on
//! tasklets of the parent's.
//!
//! **Nothing happens under a bucket's lock** but links of a list: no memory is asked for, nobody is
//! woken. The lock is no function of libc, and whoever holds it calls none.

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::time::{Duration, Instant};

use overlapped::sync::Event;
use overlapped::task::shield;
use overlapped::time::sleep;

use crate::caller::{Call, Unmarked};
use crate::raw::call;

/// A tasklet that waits. While it is linked, the list owns one reference.
struct Node {
    address: usize,
    bits: u32,
    event: Event,
    /// Touched under the bucket's lock; by the waker alone, once unlinked.
    links: UnsafeCell<Links>,
}

#[derive(Clone, Copy)]
struct Links {
    is_linked: bool,
    before: *const Node,
    after: *const Node,
}

// SAFETY: `links` is touched as its comment says; the rest is shared by design.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

/// The waiters of some addresses, in the order of their arrival.
struct List {
    first: *const Node,
    last: *const Node,
}

struct Bucket {
    locked: AtomicBool,
    list: UnsafeCell<List>,
}

// SAFETY: `list` is touched only by who holds `locked`.
unsafe impl Sync for Bucket {}

const BUCKETS: usize = 256;
static TABLE: [Bucket; BUCKETS] = [const {
    Bucket {
        locked: AtomicBool::new(false),
        list: UnsafeCell::new(List { first: ptr::null(), last: ptr::null() }),
    }
}; BUCKETS];

/// Tasklets that wait, or are about to: a wake looks at the table only if there are any.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Empties the table, in a child of fork(2): those who wait are the parent's, and whoever held a
/// lock is no more. Async-signal-safe.
pub(crate) fn forget_all() {
    for bucket in &TABLE {
        // SAFETY: this is the only thread.
        unsafe { *bucket.list.get() = List { first: ptr::null(), last: ptr::null() } };
        bucket.locked.store(false, Release);
    }
    WAITING.store(0, SeqCst);
}

/// Calls `f` with the list of the address's bucket.
fn with_list<T>(address: usize, f: impl FnOnce(&mut List) -> T) -> T {
    /// Spins before the processor is given to others, which may be who holds the lock.
    const SPINS: u32 = 100;
    let hash = (address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 8);
    let bucket = &TABLE[hash % BUCKETS];
    let mut spins = 0;
    while bucket.locked.swap(true, Acquire) {
        while bucket.locked.load(Relaxed) {
            spins += 1;
            if spins % SPINS == 0 {
                // SAFETY: touches nothing.
                unsafe { call!(sched_yield) };
            }
            spin_loop();
        }
    }
    // SAFETY: the lock is held.
    let result = f(unsafe { &mut *bucket.list.get() });
    bucket.locked.store(false, Release);
    result
}

impl List {
    fn push(&mut self, node: Arc<Node>) {
        let node = Arc::into_raw(node);
        let links = Links { is_linked: true, before: self.last, after: ptr::null() };
        // SAFETY: under the bucket's lock; linked nodes are alive.
        unsafe {
            *(*node).links.get() = links;
            match self.last.is_null() {
                true => self.first = node,
                false => (*(*self.last).links.get()).after = node,
            }
        }
        self.last = node;
    }

    /// Takes a linked node out, with the list's reference to it.
    fn unlink(&mut self, node: NonNull<Node>) -> Arc<Node> {
        // SAFETY: under the bucket's lock; linked nodes are alive, and this is one of this list.
        unsafe {
            let links = *node.as_ref().links.get();
            match links.before.is_null() {
                true => self.first = links.after,
                false => (*(*links.before).links.get()).after = links.after,
            }
            match links.after.is_null() {
                true => self.last = links.before,
                false => (*(*links.after).links.get()).before = links.before,
            }
            *node.as_ref().links.get() =
                Links { is_linked: false, before: ptr::null(), after: ptr::null() };
            Arc::from_raw(node.as_ptr())
        }
    }
}

/// A tasklet in the table.
pub(crate) struct Waiter(Arc<Node>);

impl Waiter {
    /// Enters the table, if `must_wait` still says so there.
    pub(crate) fn enter(
        address: usize,
        bits: u32,
        must_wait: impl FnOnce() -> bool,
    ) -> Option<Self> {
        let links = Links { is_linked: false, before: ptr::null(), after: ptr::null() };
        let node =
            Arc::new(Node { address, bits, event: Event::new(), links: UnsafeCell::new(links) });
        WAITING.fetch_add(1, SeqCst);
        let waiter = Waiter(node);
        let linked = Arc::clone(&waiter.0);
        with_list(address, |list| {
            let must_wait = must_wait();
            if must_wait {
                list.push(linked);
            }
            must_wait
        })
        .then_some(waiter)
    }

    /// Blocks the tasklet until it is woken, or until the limit; tells which. Neither a kill nor a
    /// deadline set from outside ends it.
    pub(crate) fn wait(&self, call: &Call, limit: Option<Duration>) -> bool {
        call.count();
        let event = &self.0.event;
        let Some(limit) = limit else {
            shield(|| event.wait());
            return true;
        };
        let begin = Instant::now();
        let is_set = shield(|| event.wait_timeout(limit));
        if is_set || self.is_taken() {
            return true;
        }
        // A deadline set from outside may have passed, which does not concern a lock.
        const NAP: Duration = Duration::from_millis(2);
        loop {
            let left = limit.saturating_sub(begin.elapsed());
            if self.is_taken() {
                return true;
            }
            if left.is_zero() {
                return false;
            }
            shield(|| sleep(left.min(NAP)));
        }
    }

    /// Tells whether a waker has taken it out.
    fn is_taken(&self) -> bool {
        with_list(self.0.address, |_| {
            // SAFETY: under the bucket's lock.
            unsafe { !(*self.0.links.get()).is_linked }
        })
    }

    /// Leaves the table. False: a waker was first, and its wake has been this one's.
    pub(crate) fn leave(&self) -> bool {
        let node = NonNull::from(&*self.0);
        let taken = with_list(self.0.address, |list| {
            // SAFETY: under the bucket's lock.
            let is_linked = unsafe { (*node.as_ref().links.get()).is_linked };
            is_linked.then(|| list.unlink(node))
        });
        taken.is_some()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.leave();
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// Wakes at most `most` tasklets that wait for the address; how many. Call it after the change that
/// they wait for.
pub(crate) fn wake(address: usize, most: usize, bits: u32) -> usize {
    fence(SeqCst);
    if WAITING.load(SeqCst) == 0 {
        return 0;
    }
    // What the library locks to wake a tasklet of another thread is locked as ever.
    let _unmarked = Unmarked::begin();
    let mut woken = 0;
    while woken < most {
        let node = with_list(address, |list| {
            let mut node = NonNull::new(list.first.cast_mut());
            while let Some(this) = node {
                // SAFETY: under the bucket's lock; linked nodes are alive.
                let (it, after) = unsafe { (this.as_ref(), (*this.as_ref().links.get()).after) };
                if it.address == address && it.bits & bits != 0 {
                    return Some(list.unlink(this));
                }
                node = NonNull::new(after.cast_mut());
            }
            None
        });
        let Some(node) = node else { break };
        node.event.set();
        woken += 1;
    }
    woken
}
