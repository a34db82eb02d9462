//! The waiters of a lock, a condition or a channel, in order of arrival.
//!
//! ```text
//! push ──▶ waiting (linked, first to last) ──grant──▶ granted (unlinked) ──remove──▶ gone
//!              │         ▲                               │
//!              │         └────────────revoke─────────────┘
//!              └──remove──▶ gone
//! ```
//!
//! Only the waiter removes its entry, so the key stays valid until then. A grant is a mark in the
//! entry, made under the owner's lock; the wake that follows decides nothing.
//!
//! Entries lie in a slab and are linked by index: a waiter in the middle leaves in one step, and
//! nothing is allocated once the slab has grown.

use super::rt::Waker;

/// The key of an entry, valid until the entry is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sync) struct Key(u32);

const NONE: u32 = u32::MAX;

/// The queue; the module's comment shows its states.
pub(in crate::sync) struct Queue<W> {
    slots: Vec<Slot<W>>,
    free: u32,
    first: u32,
    last: u32,
    waiting: usize,
}

struct Slot<W> {
    prev: u32,
    /// The next entry in the queue, or the next free slot.
    next: u32,
    granted: bool,
    waker: Option<Waker>,
    /// `None`: the slot is free.
    want: Option<W>,
}

impl<W> Queue<W> {
    pub(in crate::sync) const fn new() -> Queue<W> {
        Queue { slots: Vec::new(), free: NONE, first: NONE, last: NONE, waiting: 0 }
    }

    /// Returns the number of waiters that have not been granted what they want.
    pub(in crate::sync) fn waiting(&self) -> usize {
        self.waiting
    }

    /// Queues a waiter at the end.
    pub(in crate::sync) fn push(&mut self, want: W, waker: Waker) -> Key {
        let slot =
            Slot { prev: NONE, next: NONE, granted: false, waker: Some(waker), want: Some(want) };
        let at = self.free;
        let key = if at == NONE {
            let at = u32::try_from(self.slots.len()).ok().filter(|at| *at != NONE);
            self.slots.push(slot);
            Key(at.expect("fewer than 2^32 waiters"))
        } else {
            let place = &mut self.slots[at as usize];
            self.free = place.next;
            *place = slot;
            Key(at)
        };
        self.link(key.0, self.last, NONE);
        key
    }

    /// Returns the first waiter.
    pub(in crate::sync) fn first(&self) -> Option<Key> {
        (self.first != NONE).then_some(Key(self.first))
    }

    /// Returns what the waiter wants.
    pub(in crate::sync) fn want(&mut self, key: Key) -> &mut W {
        match &mut self.slots[key.0 as usize].want {
            Some(want) => want,
            None => unreachable!("a key is good until its waiter has left"),
        }
    }

    pub(in crate::sync) fn is_granted(&self, key: Key) -> bool {
        self.slots[key.0 as usize].granted
    }

    /// Marks a waiter as served and unlinks it. Returns its waker, to be used after the owner's
    /// lock is free again, or `None` if the waiter is awake.
    pub(in crate::sync) fn grant(&mut self, key: Key) -> Option<Waker> {
        assert!(!self.is_granted(key), "a waiter is served once");
        self.unlink(key.0);
        let slot = &mut self.slots[key.0 as usize];
        slot.granted = true;
        slot.waker.take()
    }

    /// Grants the first waiter.
    pub(in crate::sync) fn grant_first(&mut self) -> Option<Waker> {
        self.first().and_then(|first| self.grant(first))
    }

    /// Grants all waiters.
    pub(in crate::sync) fn grant_all(&mut self) -> Vec<Waker> {
        let mut wakers = Vec::with_capacity(self.waiting);
        while let Some(first) = self.first() {
            wakers.extend(self.grant(first));
        }
        wakers
    }

    /// Takes a grant back: the waiter is the first in the queue again.
    pub(in crate::sync) fn revoke(&mut self, key: Key) {
        let slot = &mut self.slots[key.0 as usize];
        assert!(std::mem::take(&mut slot.granted), "only a grant can be taken back");
        self.link(key.0, NONE, self.first);
    }

    /// Finds a waiter that has been granted what it wants, has not left yet, and wants something
    /// that `is` accepts. May have to check every entry.
    pub(in crate::sync) fn find_granted(&self, is: impl Fn(&W) -> bool) -> Option<Key> {
        let found = |slot: &Slot<W>| slot.granted && slot.want.as_ref().is_some_and(&is);
        self.slots.iter().position(found).map(|at| Key(at as u32))
    }

    /// Takes the waker of a waiter, to wake it without a grant.
    pub(in crate::sync) fn take_waker(&mut self, key: Key) -> Option<Waker> {
        self.slots[key.0 as usize].waker.take()
    }

    /// Gives a waiter that waits again its new waker.
    pub(in crate::sync) fn renew(&mut self, key: Key, waker: Waker) {
        self.slots[key.0 as usize].waker = Some(waker);
    }

    /// Removes a waiter. Returns what it wanted, and whether that had been granted.
    pub(in crate::sync) fn remove(&mut self, key: Key) -> (W, bool) {
        let granted = self.is_granted(key);
        if !granted {
            self.unlink(key.0);
        }
        let slot = &mut self.slots[key.0 as usize];
        (slot.granted, slot.waker) = (false, None);
        slot.next = self.free;
        self.free = key.0;
        match slot.want.take() {
            Some(want) => (want, granted),
            None => unreachable!("a waiter leaves once"),
        }
    }

    fn link(&mut self, at: u32, prev: u32, next: u32) {
        let slot = &mut self.slots[at as usize];
        (slot.prev, slot.next) = (prev, next);
        self.join(prev, at);
        self.join(at, next);
        self.waiting += 1;
    }

    fn unlink(&mut self, at: u32) {
        let Slot { prev, next, .. } = self.slots[at as usize];
        self.join(prev, next);
        self.waiting -= 1;
    }

    /// Makes two entries neighbours; [`NONE`] is the end on either side.
    fn join(&mut self, prev: u32, next: u32) {
        match prev {
            NONE => self.first = next,
            prev => self.slots[prev as usize].next = next,
        }
        match next {
            NONE => self.last = prev,
            next => self.slots[next as usize].prev = prev,
        }
    }
}

/// Wakes all of them, in turn. Must not be called while a lock is held.
pub(in crate::sync) fn wake_all(wakers: impl IntoIterator<Item = Waker>) {
    wakers.into_iter().for_each(|waker| waker.wake());
}
