//! The waiters of one descriptor, and the state of its registration.

use std::collections::VecDeque;

use crate::op::{Op, Token};
use crate::sys::readiness::Interest;

pub(super) struct Waiter {
    pub(super) token: Token,
    pub(super) op: Op,
}

/// Waiters in the order in which they came. Nearly always there is just one, which needs no
/// allocation.
#[derive(Default)]
pub(super) struct Queue {
    /// Empty only if the queue is.
    first: Option<Waiter>,
    rest: VecDeque<Waiter>,
}

impl Queue {
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    pub(super) fn front(&self) -> Option<&Waiter> {
        self.first.as_ref()
    }

    pub(super) fn push_back(&mut self, waiter: Waiter) {
        match self.first {
            None => self.first = Some(waiter),
            Some(_) => self.rest.push_back(waiter),
        }
    }

    pub(super) fn pop_front(&mut self) {
        self.first = self.rest.pop_front();
    }

    /// Removes the waiter that came last.
    pub(super) fn pop_back(&mut self) {
        if self.rest.pop_back().is_none() {
            self.first = None;
        }
    }

    /// Removes the waiter for `token`. Returns whether there was one.
    pub(super) fn remove(&mut self, token: Token) -> bool {
        if self.first.as_ref().is_some_and(|waiter| waiter.token == token) {
            self.pop_front();
            return true;
        }
        let place = self.rest.iter().position(|waiter| waiter.token == token);
        place.and_then(|place| self.rest.remove(place)).is_some()
    }

    fn take(&mut self) -> impl Iterator<Item = Waiter> {
        self.first.take().into_iter().chain(self.rest.drain(..))
    }
}

/// A registration's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) readable: bool,
    pub(super) writable: bool,
    /// Edge-triggered and lasting, instead of level-triggered and one-shot.
    pub(super) only_changes: bool,
}

#[derive(Default)]
pub(super) struct Queues {
    readers: Queue,
    writers: Queue,
    only_changes: bool,
    /// The events for which the registration is armed; `None` after a one-shot has fired.
    pub(super) armed: Option<Wanted>,
}

impl Queues {
    pub(super) fn of(&mut self, interest: Interest) -> &mut Queue {
        match interest {
            Interest::Readable => &mut self.readers,
            Interest::Writable => &mut self.writers,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.readers.is_empty() && self.writers.is_empty()
    }

    pub(super) fn wanted(&self) -> Wanted {
        Wanted {
            readable: !self.readers.is_empty(),
            writable: !self.writers.is_empty(),
            only_changes: self.only_changes,
        }
    }

    /// Records that the poller has reported the descriptor.
    pub(super) fn fired(&mut self) {
        if !self.only_changes {
            self.armed = None;
        }
    }

    pub(super) fn only_changes(&mut self) {
        self.only_changes = true;
    }

    /// Removes all waiters.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waiter> {
        self.readers.take().chain(self.writers.take())
    }
}
