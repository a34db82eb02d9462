//! Intrusive queues: of ready tasklets, and of wait nodes in a channel.
//!
//! The links are in the elements themselves, as their first field. So queueing allocates nothing,
//! and removing an element from the middle costs the same as removing the first. A tasklet is in
//! one queue at most, so one pair of links in its block serves them all. A select waits in several
//! queues, so it brings a node for each.

use std::cell::Cell;
use std::ptr::NonNull;

/// The links of an element; its first field.
#[repr(C)]
#[derive(Default)]
pub(crate) struct Links {
    next: Cell<Option<NonNull<Links>>>,
    prev: Cell<Option<NonNull<Links>>>,
}

/// An element that can be queued.
///
/// # Safety
/// The type is `repr(C)` and [`Links`] is its first field, or the first field of that.
pub(crate) unsafe trait Linked {}

/// A doubly linked queue.
pub(crate) struct Queue<N> {
    head: Cell<Option<NonNull<N>>>,
    tail: Cell<Option<NonNull<N>>>,
    len: Cell<usize>,
}

impl<N> Default for Queue<N> {
    fn default() -> Queue<N> {
        Queue { head: Cell::new(None), tail: Cell::new(None), len: Cell::new(0) }
    }
}

// SAFETY of the dereferences below: a queue links living elements only. Blocks: the scheduler holds
// a reference to each, and unlinks it before it gives that reference back. Nodes of a select: its
// frame stays until all of them have been unlinked.
#[inline(always)]
fn links<'a, N: Linked>(element: NonNull<N>) -> &'a Links {
    // SAFETY: see above; the links are the first field.
    unsafe { element.cast::<Links>().as_ref() }
}

impl<N: Linked> Queue<N> {
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<NonNull<N>> {
        self.head.get()
    }

    /// Returns the element behind `element`, which is in this queue.
    #[inline]
    pub(crate) fn after(&self, element: NonNull<N>) -> Option<NonNull<N>> {
        links(element).next.get().map(NonNull::cast)
    }

    #[inline]
    pub(crate) fn push_back(&self, element: NonNull<N>) {
        let old = self.tail.replace(Some(element));
        links(element).prev.set(old.map(NonNull::cast));
        links(element).next.set(None);
        match old {
            Some(old) => links(old).next.set(Some(element.cast())),
            None => self.head.set(Some(element)),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn push_front(&self, element: NonNull<N>) {
        let old = self.head.replace(Some(element));
        links(element).next.set(old.map(NonNull::cast));
        links(element).prev.set(None);
        match old {
            Some(old) => links(old).prev.set(Some(element.cast())),
            None => self.tail.set(Some(element)),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn pop_front(&self) -> Option<NonNull<N>> {
        let element = self.head.get()?;
        let next = links(element).next.get();
        self.head.set(next.map(NonNull::cast));
        match next {
            // SAFETY: the element is linked, so it lives; see above.
            Some(next) => unsafe { next.as_ref() }.prev.set(None),
            None => self.tail.set(None),
        }
        self.len.set(self.len.get() - 1);
        Some(element)
    }

    /// Removes `element`, which must be in this queue.
    pub(crate) fn remove(&self, element: NonNull<N>) {
        let (prev, next) = (links(element).prev.take(), links(element).next.take());
        match prev {
            // SAFETY: the element is linked, so it lives; see above.
            Some(prev) => unsafe { prev.as_ref() }.next.set(next),
            None => self.head.set(next.map(NonNull::cast)),
        }
        match next {
            // SAFETY: as above.
            Some(next) => unsafe { next.as_ref() }.prev.set(prev),
            None => self.tail.set(prev.map(NonNull::cast)),
        }
        self.len.set(self.len.get() - 1);
    }

    /// Turns the queue, seen as a ring, until `element` is in front, and removes it; `caller` is at
    /// the place where the ring was cut: `[x… element y…]` becomes `[y… caller x…]`.
    pub(crate) fn rotate_out(&self, element: NonNull<N>, caller: NonNull<N>) {
        self.push_back(caller);
        while let Some(first) = self.front() {
            if first == element {
                self.remove(element);
                return;
            }
            self.remove(first);
            self.push_back(first);
        }
        unreachable!("the tasklet is in this queue");
    }
}
