//! Waiters by address, and the order in which they and their wakers look at things.
//!
//! ```text
//! waiter: count itself ─ fence ─ [lock: look at the word ─ link itself] ─ wait for its alarm
//! waker:  change the word ─ fence ─ read the count ─ [lock: unlink one] ─ ring its alarm
//! ```
//!
//! One of the two fences comes first, so the waiter sees the change or the waker sees the count. If
//! the waker sees the count and locks before the waiter does, the waiter sees the change under the
//! lock. Whoever unlinks a waiter owns its wake: a waiter that leaves is told whether it has been
//! woken, and every wake is one waiter's.
//!
//! Loom goes through the orders: `loom_tests`.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::rt::{AtomicUsize, BUCKETS, Lock, UnsafeCell, fence};

/// A waiter. While it is linked, the list owns one reference.
pub(super) struct Node<T> {
    pub(super) address: usize,
    bits: u32,
    /// The alarm, and what else is known of the waiter.
    pub(super) what: T,
    /// Touched under the bucket's lock.
    links: UnsafeCell<Links<T>>,
}

struct Links<T> {
    is_linked: bool,
    before: *const Node<T>,
    after: *const Node<T>,
}

impl<T> Links<T> {
    const NONE: Links<T> = Links { is_linked: false, before: ptr::null(), after: ptr::null() };
}

// SAFETY: `links` is touched as its comment says; the rest is shared.
unsafe impl<T: Send + Sync> Send for Node<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Node<T> {}

/// The waiters of some addresses, in the order of their arrival.
pub(super) struct List<T> {
    first: *const Node<T>,
    last: *const Node<T>,
}

// SAFETY: it has references to nodes, as an `Arc` of each.
unsafe impl<T: Send + Sync> Send for List<T> {}

impl<T> List<T> {
    pub(super) const EMPTY: List<T> = List { first: ptr::null(), last: ptr::null() };

    fn push(&mut self, node: Arc<Node<T>>) {
        let (node, before) = (Arc::into_raw(node), self.last);
        // SAFETY: under the bucket's lock; linked nodes are alive, this one by the reference that
        // the list has got.
        unsafe {
            (*node).links.with_mut(|links| {
                *links = Links { is_linked: true, before, after: ptr::null() };
            });
            match before.is_null() {
                true => self.first = node,
                false => (*before).links.with_mut(|links| (*links).after = node),
            }
        }
        self.last = node;
    }

    /// Takes a linked node out, with the list's reference to it.
    ///
    /// # Safety
    /// It is linked in this list, and the pointer has come from the list or from `Arc::as_ptr`.
    unsafe fn unlink(&mut self, node: NonNull<Node<T>>) -> Arc<Node<T>> {
        // SAFETY: under the bucket's lock; linked nodes are alive. The list gives its reference up.
        unsafe {
            let Links { before, after, .. } =
                node.as_ref().links.with_mut(|links| ptr::replace(links, Links::NONE));
            match before.is_null() {
                true => self.first = after,
                false => (*before).links.with_mut(|links| (*links).after = after),
            }
            match after.is_null() {
                true => self.last = before,
                false => (*after).links.with_mut(|links| (*links).before = before),
            }
            Arc::from_raw(node.as_ptr())
        }
    }

    /// The waiters, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = NonNull<Node<T>>> + use<'_, T> {
        let mut next = NonNull::new(self.first.cast_mut());
        std::iter::from_fn(move || {
            let this = next?;
            // SAFETY: the list is borrowed, so the lock is held; linked nodes are alive.
            let after = unsafe { this.as_ref().links.with(|links| (*links).after) };
            next = NonNull::new(after.cast_mut());
            Some(this)
        })
    }
}

/// All waiters.
pub(super) struct Table<T: 'static> {
    /// Waiters by the hashes of their addresses.
    pub(super) buckets: [Lock<List<T>>; BUCKETS],
    /// Waiters that are linked, or about to be: a wake looks further only if there are any.
    pub(super) waiting: AtomicUsize,
}

pub(super) fn bucket_of(address: usize) -> usize {
    ((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 8)) % BUCKETS
}

impl<T> Table<T> {
    fn bucket_of(&self, address: usize) -> &Lock<List<T>> {
        &self.buckets[bucket_of(address)]
    }

    /// Counts a waiter, which is not linked yet. What the caller looks at afterwards is as new as
    /// it must be.
    pub(super) fn begin(&'static self, address: usize, bits: u32, what: T) -> Entry<T> {
        self.waiting.fetch_add(1, Relaxed);
        fence(SeqCst);
        let links = UnsafeCell::new(Links::NONE);
        Entry { table: self, node: Arc::new(Node { address, bits, what, links }) }
    }

    /// Takes a waiter for the address out.
    fn take(&self, address: usize, bits: u32) -> Option<Arc<Node<T>>> {
        self.bucket_of(address).with(|list| {
            let found = list.iter().find(|node| {
                // SAFETY: under the bucket's lock; linked nodes are alive.
                let node = unsafe { node.as_ref() };
                node.address == address && node.bits & bits != 0
            })?;
            // SAFETY: the list has it.
            Some(unsafe { list.unlink(found) })
        })
    }

    /// Wakes at most `most` waiters for the address by `ring`; how many. Call it after the change
    /// that they wait for.
    pub(super) fn wake(&self, address: usize, most: usize, bits: u32, ring: impl Fn(&T)) -> usize {
        fence(SeqCst);
        if self.waiting.load(Relaxed) == 0 {
            return 0;
        }
        let mut woken = 0;
        while woken < most
            && let Some(node) = self.take(address, bits)
        {
            ring(&node.what);
            woken += 1;
        }
        woken
    }
}

/// A waiter of a table's, counted until it is dropped.
pub(super) struct Entry<T: 'static> {
    table: &'static Table<T>,
    node: Arc<Node<T>>,
}

impl<T> Entry<T> {
    pub(super) fn what(&self) -> &T {
        &self.node.what
    }

    pub(super) fn address(&self) -> usize {
        self.node.address
    }

    /// Links it, if `must_wait` still says so under the lock; whether it is linked.
    pub(super) fn link_if(&self, must_wait: impl FnOnce() -> bool) -> bool {
        let linked = Arc::clone(&self.node);
        self.table.bucket_of(self.node.address).with(|list| {
            let must_wait = must_wait();
            if must_wait {
                list.push(linked);
            }
            must_wait
        })
    }

    /// Links it. What the caller looks at afterwards is as new as it must be.
    pub(super) fn link(&self) {
        self.link_if(|| true);
    }

    /// Unlinks it. False: a waker was first, and its wake has been this one's.
    pub(super) fn leave(&self) -> bool {
        // Not from a reference to the node: the list's counts belong to it, too.
        let Some(node) = NonNull::new(Arc::as_ptr(&self.node).cast_mut()) else { return false };
        let taken = self.table.bucket_of(self.node.address).with(|list| {
            // SAFETY: under the bucket's lock.
            let is_linked = unsafe { node.as_ref().links.with(|links| (*links).is_linked) };
            // SAFETY: it is linked, in the list of its address.
            is_linked.then(|| unsafe { list.unlink(node) })
        });
        taken.is_some()
    }
}

impl<T> Drop for Entry<T> {
    fn drop(&mut self) {
        self.leave();
        self.table.waiting.fetch_sub(1, Relaxed);
    }
}
