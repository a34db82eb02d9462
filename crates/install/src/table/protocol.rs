//! Waiters by address, and the order of steps by which no wake is lost.
//!
//! ```text
//! waiter: count itself ─ fence ─ [lock: read the word ─ link itself] ─ wait for its event
//! waker:  change the word ─ fence ─ read the count ─ [lock: unlink one] ─ set its event
//! ```
//!
//! One of the two fences comes first, so the waiter sees the change or the waker sees the count. If
//! the waker sees the count and locks before the waiter does, the waiter sees the change under the
//! lock. The code that unlinks a waiter owns its wake: a waiter that leaves learns whether it has
//! been woken, and every wake reaches exactly one waiter.
//!
//! `loom_tests` model-checks the orders.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use super::rt::{AtomicUsize, BUCKETS, Lock, UnsafeCell, fence};

/// A waiter. While it is linked, the list owns one reference.
pub(super) struct Node<T> {
    pub(super) address: usize,
    bits: u32,
    /// The event that wakes the waiter, with its caller's data.
    pub(super) payload: T,
    /// Accessed under the bucket's lock only.
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

// SAFETY: `links` is accessed under the bucket's lock; the other fields are shared by reference.
unsafe impl<T: Send + Sync> Send for Node<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Node<T> {}

/// The waiters of some addresses, in the order of their arrival.
pub(super) struct List<T> {
    first: *const Node<T>,
    last: *const Node<T>,
}

// SAFETY: the list owns one reference to each node, as an `Arc` does.
unsafe impl<T: Send + Sync> Send for List<T> {}

impl<T> List<T> {
    pub(super) const EMPTY: List<T> = List { first: ptr::null(), last: ptr::null() };

    fn push(&mut self, node: Arc<Node<T>>) {
        let (node, before) = (Arc::into_raw(node), self.last);
        // SAFETY: the bucket's lock is held; linked nodes are alive, this one by the reference that
        // the list now owns.
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

    /// Unlinks a node, and returns the list's reference to it.
    ///
    /// # Safety
    /// The node is linked in this list, and the pointer came from the list or from `Arc::as_ptr`.
    unsafe fn unlink(&mut self, node: NonNull<Node<T>>) -> Arc<Node<T>> {
        // SAFETY: the bucket's lock is held; linked nodes are alive. The list gives up its
        // reference.
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

    /// Iterates over the waiters in the order of their arrival.
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

/// The table of all waiters.
pub(super) struct Table<T: 'static> {
    /// The waiters, by a hash of the address.
    pub(super) buckets: [Lock<List<T>>; BUCKETS],
    /// The number of waiters that are linked, or about to be: if it is 0, a wake does nothing more.
    pub(super) waiting: AtomicUsize,
}

pub(super) fn bucket_of(address: usize) -> usize {
    ((address >> 2).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (usize::BITS - 8)) % BUCKETS
}

impl<T> Table<T> {
    fn bucket_of(&self, address: usize) -> &Lock<List<T>> {
        &self.buckets[bucket_of(address)]
    }

    /// Counts a waiter without linking it. Values that the caller reads afterwards are at least as
    /// new as the count.
    pub(super) fn begin(&'static self, address: usize, bits: u32, payload: T) -> Entry<T> {
        self.waiting.fetch_add(1, Relaxed);
        fence(SeqCst);
        let links = UnsafeCell::new(Links::NONE);
        Entry { table: self, node: Arc::new(Node { address, bits, payload, links }) }
    }

    /// Unlinks a waiter for the address.
    fn take(&self, address: usize, bits: u32) -> Option<Arc<Node<T>>> {
        self.bucket_of(address).with(|list| {
            let found = list.iter().find(|node| {
                // SAFETY: under the bucket's lock; linked nodes are alive.
                let node = unsafe { node.as_ref() };
                node.address == address && node.bits & bits != 0
            })?;
            // SAFETY: the node was found in this list.
            Some(unsafe { list.unlink(found) })
        })
    }

    /// Wakes at most `most` waiters for the address by `set_event`, and returns their number. Call
    /// it after the change that they wait for.
    pub(super) fn wake(
        &self,
        address: usize,
        most: usize,
        bits: u32,
        set_event: impl Fn(&T),
    ) -> usize {
        fence(SeqCst);
        if self.waiting.load(Relaxed) == 0 {
            return 0;
        }
        let mut woken = 0;
        while woken < most
            && let Some(node) = self.take(address, bits)
        {
            set_event(&node.payload);
            woken += 1;
        }
        woken
    }
}

/// A waiter of a table, counted until it is dropped.
pub(super) struct Entry<T: 'static> {
    table: &'static Table<T>,
    node: Arc<Node<T>>,
}

impl<T> Entry<T> {
    pub(super) fn payload(&self) -> &T {
        &self.node.payload
    }

    pub(super) fn address(&self) -> usize {
        self.node.address
    }

    /// Links the waiter, if `must_wait` returns true under the lock; returns whether it is linked.
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

    /// Links the waiter. Values that the caller reads afterwards are at least as new as the link.
    pub(super) fn link(&self) {
        self.link_if(|| true);
    }

    /// Unlinks the waiter. Returns false if a waker was first: then this waiter has taken the wake.
    pub(super) fn leave(&self) -> bool {
        // The pointer is not made from a reference to the node, because it must cover the `Arc`'s
        // counts, too.
        let Some(node) = NonNull::new(Arc::as_ptr(&self.node).cast_mut()) else { return false };
        let taken = self.table.bucket_of(self.node.address).with(|list| {
            // SAFETY: under the bucket's lock.
            let is_linked = unsafe { node.as_ref().links.with(|links| (*links).is_linked) };
            // SAFETY: the node is linked, in the list of its address.
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
