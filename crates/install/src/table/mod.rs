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
//! woken. The lock is no function of libc, and whoever holds it calls none. Signal handlers come to
//! it by [`note_post`] alone, which takes no lock: see [`posts`].

mod posts;

use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::time::Duration;

use overlapped::sync::Event;
use overlapped::task::shield;

use crate::caller::{Call, Unmarked};
use crate::raw::call;

use posts::Counted;
pub(crate) use posts::note_post;

/// The source of a wake, and the words for it in a dump.
#[derive(Clone, Copy)]
pub(crate) enum From {
    /// From tasklets and threads of this process. Where there are none that could, the run ends
    /// with a verdict.
    Threads(&'static str),
    /// From signal handlers or other processes, too.
    Anywhere(&'static str),
}

/// A tasklet that waits. While it is linked, the list owns one reference.
struct Node {
    address: usize,
    bits: u32,
    from: From,
    /// It waits for a post.
    is_posted: bool,
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
    posts::forget_all();
}

fn bucket_of(address: usize) -> usize {
    ((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 8)) % BUCKETS
}

/// Calls `f` with the list of a bucket.
fn with_list<T>(bucket: usize, f: impl FnOnce(&mut List) -> T) -> T {
    /// Spins before the processor is given to others, which may be who holds the lock.
    const SPINS: u32 = 100;
    let bucket = &TABLE[bucket];
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
pub(crate) struct Waiter {
    node: Arc<Node>,
    posted: Option<Counted>,
    /// It is woken by whoever changes what it waits for.
    pub(crate) is_heard: bool,
}

impl Waiter {
    fn new(address: usize, bits: u32, from: From, posted: Option<(Counted, bool)>) -> Waiter {
        let links = Links { is_linked: false, before: ptr::null(), after: ptr::null() };
        let node = Arc::new(Node {
            address,
            bits,
            from,
            is_posted: posted.is_some(),
            event: Event::new(),
            links: UnsafeCell::new(links),
        });
        WAITING.fetch_add(1, SeqCst);
        let is_heard = posted.as_ref().is_none_or(|(_, is_heard)| *is_heard);
        Waiter { node, posted: posted.map(|(counted, _)| counted), is_heard }
    }

    /// Enters the table, if `must_wait` still says so there.
    pub(crate) fn enter_if(
        address: usize,
        bits: u32,
        from: From,
        must_wait: impl FnOnce() -> bool,
    ) -> Option<Waiter> {
        let waiter = Waiter::new(address, bits, from, None);
        let linked = Arc::clone(&waiter.node);
        let must_wait = with_list(bucket_of(address), |list| {
            let must_wait = must_wait();
            if must_wait {
                list.push(linked);
            }
            must_wait
        });
        must_wait.then_some(waiter)
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
        let linked = Arc::clone(&self.node);
        with_list(bucket_of(linked.address), |list| list.push(linked));
        fence(SeqCst);
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
        call.count();
        let Node { event, from, .. } = &*self.node;
        let first = [look_after, limit].into_iter().flatten().min();
        shield(|| match (from, first) {
            (From::Threads(what), _) => event.wait_for_threads(what, look_after, limit),
            (From::Anywhere(what), Some(_)) => event.wait_for_threads(what, None, first),
            (From::Anywhere(_), None) => {
                event.wait();
                true
            }
        })
    }

    /// Leaves the table. False: a waker was first, and its wake has been this one's.
    pub(crate) fn leave(&self) -> bool {
        let node = NonNull::from(&*self.node);
        let taken = with_list(bucket_of(self.node.address), |list| {
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
        self.posted.take();
        WAITING.fetch_sub(1, SeqCst);
    }
}

/// The lowest address above `before` in a bucket where a tasklet waits for a post.
fn next_posted(bucket: usize, before: usize) -> Option<usize> {
    with_list(bucket, |list| {
        let mut lowest = None;
        let mut node = NonNull::new(list.first.cast_mut());
        while let Some(this) = node {
            // SAFETY: under the bucket's lock; linked nodes are alive.
            let (it, after) = unsafe { (this.as_ref(), (*this.as_ref().links.get()).after) };
            let is_lower = lowest.is_none_or(|lowest| it.address < lowest);
            if it.is_posted && it.address > before && is_lower {
                lowest = Some(it.address);
            }
            node = NonNull::new(after.cast_mut());
        }
        lowest
    })
}

/// Tells whether any tasklet waits, or is about to. Only a hint, but after a fence.
pub(crate) fn has_waiters() -> bool {
    WAITING.load(Relaxed) > 0
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
        let node = with_list(bucket_of(address), |list| {
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
