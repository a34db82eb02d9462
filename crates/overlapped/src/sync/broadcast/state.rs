//! The state under a broadcast channel's lock: the values that some receiver has yet to receive.
//!
//! ```text
//!   first                     first + values.len()
//!     │ value │ value │ value │ ◀── send
//!         ▲               ▲
//!      a receiver's    another's `next`
//! ```
//!
//! Positions count all values that were ever sent: 64 bits last for centuries. A value goes when
//! its last receiver has received it, or when it is the oldest of too many.

use std::collections::VecDeque;
use std::sync::Arc;

use super::error::RecvError;

pub(super) struct State<T> {
    values: VecDeque<Slot<T>>,
    /// The position of the oldest value.
    first: u64,
    capacity: usize,
    /// Neither this count nor `receivers` can wrap: each end holds a share of an `Arc`, which has a
    /// limit.
    pub(super) senders: usize,
    pub(super) receivers: usize,
}

struct Slot<T> {
    value: Arc<T>,
    /// The number of receivers that have not received it. A later slot never has fewer, so the
    /// slots that no receiver wants are the first ones.
    unread: usize,
}

impl<T> State<T> {
    /// Makes the state with one sender and one receiver.
    pub(super) fn new(capacity: usize) -> State<T> {
        State { values: VecDeque::new(), first: 0, capacity, senders: 1, receivers: 1 }
    }

    /// Returns the position after the newest value.
    fn end(&self) -> u64 {
        self.first + self.values.len() as u64
    }

    /// Takes a value in. Returns the number of receivers, and the value that has made room.
    pub(super) fn send(&mut self, value: Arc<T>) -> Result<(usize, Option<Arc<T>>), Arc<T>> {
        if self.receivers == 0 {
            return Err(value);
        }
        let oldest = if self.values.len() == self.capacity { self.pop() } else { None };
        self.values.push_back(Slot { value, unread: self.receivers });
        Ok((self.receivers, oldest))
    }

    /// Returns the value at `next`, or the reason why it is missing; `None` if it has not come yet.
    pub(super) fn recv(&mut self, next: &mut u64) -> Option<Result<Arc<T>, RecvError>> {
        let Some(at) = next.checked_sub(self.first) else {
            let missed = self.first - *next;
            *next = self.first;
            return Some(Err(RecvError::Lagged(missed)));
        };
        match self.values.get_mut(at as usize) {
            Some(slot) => {
                *next += 1;
                slot.unread -= 1;
                let value = if slot.unread == 0 { self.pop() } else { None };
                Some(Ok(value.unwrap_or_else(|| Arc::clone(&self.values[at as usize].value))))
            }
            None if self.senders == 0 => Some(Err(RecvError::Closed)),
            None => None,
        }
    }

    /// Counts one more receiver. Returns its `next`.
    pub(super) fn subscribe(&mut self) -> u64 {
        self.receivers += 1;
        self.end()
    }

    /// Counts a receiver less, which would have got the value at `next`. Returns the values that no
    /// receiver wants now.
    pub(super) fn leave(&mut self, next: u64) -> Vec<Arc<T>> {
        self.receivers -= 1;
        let read = next.saturating_sub(self.first) as usize;
        self.values.iter_mut().skip(read).for_each(|slot| slot.unread -= 1);
        let mut unwanted = Vec::new();
        while self.values.front().is_some_and(|slot| slot.unread == 0) {
            unwanted.extend(self.pop());
        }
        unwanted
    }

    fn pop(&mut self) -> Option<Arc<T>> {
        let slot = self.values.pop_front()?;
        self.first += 1;
        Some(slot.value)
    }
}
