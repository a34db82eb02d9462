//! Queues of tasklets, linked through their control blocks: the ready queue and every channel's.
//!
//! A tasklet is in one queue at most, so two link fields serve all of them, and taking one out of
//! the middle costs the same as taking the first.

use std::cell::Cell;

use super::{Tcb, TcbPtr};

/// A doubly linked queue.
#[derive(Default)]
pub(crate) struct Queue {
    head: Cell<Option<TcbPtr>>,
    tail: Cell<Option<TcbPtr>>,
    len: Cell<usize>,
}

// SAFETY of the dereferences below: a queue links living tasklets only. The scheduler holds a
// reference to each, and unlinks it before it gives that reference back.
fn block<'a>(tcb: TcbPtr) -> &'a Tcb {
    // SAFETY: see above.
    unsafe { &*tcb.as_ptr() }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len.get()
    }

    #[inline]
    pub(crate) fn front(&self) -> Option<TcbPtr> {
        self.head.get()
    }

    #[inline]
    pub(crate) fn push_back(&self, tcb: TcbPtr) {
        let old = self.tail.replace(Some(tcb));
        block(tcb).prev.set(old);
        block(tcb).next.set(None);
        match old {
            Some(old) => block(old).next.set(Some(tcb)),
            None => self.head.set(Some(tcb)),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn push_front(&self, tcb: TcbPtr) {
        let old = self.head.replace(Some(tcb));
        block(tcb).next.set(old);
        block(tcb).prev.set(None);
        match old {
            Some(old) => block(old).prev.set(Some(tcb)),
            None => self.tail.set(Some(tcb)),
        }
        self.len.set(self.len.get() + 1);
    }

    #[inline]
    pub(crate) fn pop_front(&self) -> Option<TcbPtr> {
        let tcb = self.head.get()?;
        let next = block(tcb).next.get();
        self.head.set(next);
        match next {
            Some(next) => block(next).prev.set(None),
            None => self.tail.set(None),
        }
        self.len.set(self.len.get() - 1);
        Some(tcb)
    }

    /// Takes `tcb` out; it must be in this queue.
    pub(crate) fn remove(&self, tcb: TcbPtr) {
        let (prev, next) = (block(tcb).prev.take(), block(tcb).next.take());
        match prev {
            Some(prev) => block(prev).next.set(next),
            None => self.head.set(next),
        }
        match next {
            Some(next) => block(next).prev.set(prev),
            None => self.tail.set(prev),
        }
        self.len.set(self.len.get() - 1);
    }

    /// Makes the ring begin after `tcb`, which leaves the queue, with `caller` at the place where
    /// the ring's current one stands: `[x… tcb y…]` becomes `[y… caller x…]`.
    pub(crate) fn rotate_out(&self, tcb: TcbPtr, caller: TcbPtr) {
        self.push_back(caller);
        while let Some(first) = self.front() {
            if first == tcb {
                self.remove(tcb);
                return;
            }
            self.remove(first);
            self.push_back(first);
        }
        unreachable!("the tasklet is in this queue");
    }
}
