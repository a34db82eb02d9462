//! The waiters of one descriptor, and what the poller has been told about it.

use std::collections::VecDeque;

use crate::op::{Op, Token};
use crate::sys::readiness::Interest;

pub(super) struct Waiter {
    pub(super) token: Token,
    pub(super) op: Op,
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
    readers: VecDeque<Waiter>,
    writers: VecDeque<Waiter>,
    only_changes: bool,
    /// What the poller reports next; `None` after a one-shot has fired.
    pub(super) armed: Option<Wanted>,
}

impl Queues {
    pub(super) fn of(&mut self, interest: Interest) -> &mut VecDeque<Waiter> {
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

    /// The poller has reported the descriptor.
    pub(super) fn fired(&mut self) {
        if !self.only_changes {
            self.armed = None;
        }
    }

    pub(super) fn only_changes(&mut self) {
        self.only_changes = true;
    }

    /// Everybody.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Waiter> {
        self.readers.drain(..).chain(self.writers.drain(..))
    }
}
