//! Queues of transfers at files' cursors.
//!
//! The ring does not serialise transfers at the cursor: two in flight may read the same bytes, or
//! write over each other. So the first in each file's queue is in flight, and the others wait here.
//!
//! The key is the file itself (device and number), not the descriptor: duplicates of a descriptor
//! share their cursor, and no cheap call tells which do. Descriptors of one file that were opened
//! separately share its queue, too, which costs some overlap and nothing else.

use std::collections::{HashMap, VecDeque};

use crate::op::Token;

/// Device and number of a file.
pub(super) type FileId = (u64, u64);

#[derive(Default)]
pub(super) struct CursorQueues {
    /// The queues, none of them empty; the first request of each is in flight.
    queues: HashMap<FileId, VecDeque<Token>>,
}

impl CursorQueues {
    /// Queues `token`; true if it may start at once.
    pub(super) fn enter(&mut self, file: FileId, token: Token) -> bool {
        let queue = self.queues.entry(file).or_default();
        queue.push_back(token);
        queue.len() == 1
    }

    /// Removes `token`, which was in flight and has ended. Returns the one that may start now.
    pub(super) fn leave(&mut self, file: FileId, token: Token) -> Option<Token> {
        let queue = self.queues.get_mut(&file).expect("a token in flight has a queue");
        assert_eq!(queue.pop_front(), Some(token), "the first in the queue is in flight");
        let next = queue.front().copied();
        if next.is_none() {
            self.queues.remove(&file);
        }
        next
    }

    /// Removes `token` if it has not started. Returns whether it did.
    pub(super) fn give_up(&mut self, file: FileId, token: Token) -> bool {
        let Some(queue) = self.queues.get_mut(&file) else {
            return false;
        };
        let place = queue.iter().skip(1).position(|waiting| *waiting == token);
        place.is_some_and(|place| queue.remove(place + 1).is_some())
    }

    /// Removes all tokens that have not started.
    pub(super) fn take_waiting(&mut self) -> impl Iterator<Item = Token> {
        std::mem::take(&mut self.queues).into_values().flat_map(|queue| queue.into_iter().skip(1))
    }
}
