//! The state that the ends of a channel share, under one lock.
//!
//! ```text
//!   send ──▶ values ──▶ recv          room: at once
//!   send ──▶ blocked senders, each with its value; recv moves the first one's into the room that
//!            it made, and wakes it
//!   recv ──▶ waiting receivers; a value that comes into `values` wakes the first
//! ```
//!
//! A value lies in `values`, or with its blocked sender, until a receiver that runs takes it: a
//! wake only says that another check is worthwhile. So a receiver that is killed on its way has
//! nothing to lose; if it was woken for a value, it wakes the next receiver. A blocked
//! sender owns its value until a receiver has taken it. If the wait ends before that, for whatever
//! reason, the sender has the value back.
//!
//! With no room (a rendezvous), a value is taken in only for a receiver that waits.
//!
//! The receiver of an unbounded channel drains the whole queue per lock acquisition ([`Ahead`]): it
//! and the senders meet at the lock once for many values.
//!
//! Several receivers may wait: the tasklets that share an mpsc channel's one `Receiver`, or the
//! receivers of an mpmc channel.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::mpsc::{RecvTimeoutError, SendError};

use super::queue::{Key, Queue, wake_all};
use super::rt::{Mutex, Waker, Woken, deadline, leave, lock, prepare, with_cleanup};

/// The capacity beyond which an empty buffer is freed.
const KEPT_MAX: usize = 1024;

/// The state, and its lock.
pub(in crate::sync) struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    values: VecDeque<T>,
    room: usize,
    /// Neither this count nor `receivers` can wrap: each end holds a share of an `Arc`, which has a
    /// limit.
    senders: usize,
    receivers: usize,
    waiting: Queue<()>,
    /// The blocked senders, each with its value, which is gone when it has been taken in.
    blocked: Queue<Option<T>>,
}

/// The waiters to wake once the lock is free: a receiver, a sender.
type Wakers = [Option<Waker>; 2];

/// Values that a channel's only receiver has taken out together and not handed out yet. They belong
/// to its thread, so a limit would not count them, and only a channel without a limit has them.
pub(in crate::sync) struct Ahead<T>(RefCell<VecDeque<T>>);

impl<T> Ahead<T> {
    pub(super) fn new() -> Ahead<T> {
        Ahead(RefCell::new(VecDeque::new()))
    }

    #[inline]
    fn pop(&self) -> Option<T> {
        let mut values = self.0.borrow_mut();
        let value = values.pop_front();
        if values.is_empty() && values.capacity() > KEPT_MAX {
            *values = VecDeque::new();
        }
        value
    }

    fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }
}

/// The reason why nothing was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotReceived {
    /// No value is there yet.
    Empty,
    /// No sender is left.
    Disconnected,
    TimedOut,
    /// The caller may not wait.
    Refused,
}

/// The reason why a value was not sent. The value comes back.
#[derive(Debug)]
pub(in crate::sync) enum Unsent<T> {
    /// The channel is full, and the caller does not want to wait, or may not, or has waited.
    Full(T),
    /// No receiver is left.
    Disconnected(T),
}

impl From<NotReceived> for RecvTimeoutError {
    fn from(reason: NotReceived) -> RecvTimeoutError {
        match reason {
            NotReceived::Disconnected => RecvTimeoutError::Disconnected,
            NotReceived::Empty | NotReceived::TimedOut | NotReceived::Refused => {
                RecvTimeoutError::Timeout
            }
        }
    }
}

impl<T> From<Unsent<T>> for SendError<T> {
    fn from(unsent: Unsent<T>) -> SendError<T> {
        match unsent {
            Unsent::Full(value) | Unsent::Disconnected(value) => SendError(value),
        }
    }
}

impl<T> State<T> {
    fn has_room(&self) -> bool {
        match self.room {
            0 => self.waiting.waiting() > 0,
            room => self.values.len() < room,
        }
    }

    /// Takes the oldest value, and moves a blocked sender's value into the room that it leaves.
    fn take(&mut self) -> Option<(T, Wakers)> {
        let Some(value) = self.values.pop_front() else {
            return self.take_blocked().map(|(value, sender)| (value, [None, sender]));
        };
        let mut wakers = [None, None];
        if self.room > 0
            && let Some((next, sender)) = self.take_blocked()
        {
            self.values.push_back(next);
            wakers = [self.waiting.grant_first(), sender];
        }
        if self.values.is_empty() && self.values.capacity() > KEPT_MAX {
            self.values = VecDeque::new();
        }
        Some((value, wakers))
    }

    fn take_blocked(&mut self) -> Option<(T, Option<Waker>)> {
        let first = self.blocked.first()?;
        let value = self.blocked.want(first).take();
        Some((value.expect("a blocked sender has its value"), self.blocked.grant(first)))
    }

    /// Returns the oldest value, or the reason why it is missing. Values taken out `ahead` are
    /// older.
    fn take_oldest(&mut self, ahead: Option<&Ahead<T>>) -> Result<(T, Wakers), NotReceived> {
        let taken = match ahead {
            Some(ahead) => {
                if ahead.is_empty() {
                    std::mem::swap(&mut self.values, &mut ahead.0.borrow_mut());
                }
                // Without a limit no sender waits for room.
                ahead.pop().map(|value| (value, [None, None]))
            }
            None => self.take(),
        };
        let over = if self.senders == 0 { NotReceived::Disconnected } else { NotReceived::Empty };
        taken.ok_or(over)
    }

    /// Takes the value in, if the channel has room. Returns the waker of the receiver that is to
    /// take it.
    fn put(&mut self, value: T) -> Result<Option<Waker>, Unsent<T>> {
        if self.receivers == 0 {
            return Err(Unsent::Disconnected(value));
        }
        if !self.has_room() {
            return Err(Unsent::Full(value));
        }
        self.values.push_back(value);
        Ok(self.waiting.grant_first())
    }
}

impl<T> Shared<T> {
    /// Makes the state with one sender, one receiver, and room for `room` values.
    pub(in crate::sync) fn new(room: usize) -> Shared<T> {
        Shared {
            state: Mutex::new(State {
                values: VecDeque::new(),
                room,
                senders: 1,
                receivers: 1,
                waiting: Queue::new(),
                blocked: Queue::new(),
            }),
        }
    }

    /// Sends without waiting.
    pub(in crate::sync) fn try_send(&self, value: T) -> Result<(), Unsent<T>> {
        let put = lock(&self.state).put(value);
        put.map(wake_all)
    }

    /// Sends a value, and waits for room until the caller's deadline.
    pub(in crate::sync) fn send(&self, value: T) -> Result<(), Unsent<T>> {
        let value = match self.try_send(value) {
            Err(Unsent::Full(value)) => value,
            sent => return sent,
        };
        let (wait, waker) = match prepare() {
            Ok(prepared) => prepared,
            Err(_) => return Err(Unsent::Full(value)),
        };
        let mut state = lock(&self.state);
        let value = match state.put(value) {
            Ok(waker) => {
                drop(state);
                wake_all(waker);
                return Ok(());
            }
            Err(Unsent::Full(value)) => value,
            Err(gone) => return Err(gone),
        };
        let key = state.blocked.push(Some(value), waker);
        drop(state);
        let sender = Blocked { shared: self, key };
        // No clean-up for a tasklet that is abandoned in this wait: its entry stays in the queue,
        // so that the value can still be received.
        if wait.park("room in a channel between threads", deadline()) == Woken::Killed {
            leave();
        }
        match sender.quit() {
            (None, _) => Ok(()),
            (Some(value), true) => Err(Unsent::Disconnected(value)),
            (Some(value), false) => Err(Unsent::Full(value)),
        }
    }

    /// Receives without waiting.
    #[inline]
    pub(in crate::sync) fn try_recv(&self, ahead: Option<&Ahead<T>>) -> Result<T, NotReceived> {
        if let Some(value) = ahead.and_then(Ahead::pop) {
            return Ok(value);
        }
        let taken = lock(&self.state).take_oldest(ahead);
        let (value, wakers) = taken?;
        wake_all(wakers.into_iter().flatten());
        Ok(value)
    }

    /// Receives a value, and waits for one until the port's clock shows `until`.
    pub(in crate::sync) fn recv(
        &self,
        ahead: Option<&Ahead<T>>,
        until: u64,
    ) -> Result<T, NotReceived> {
        let mut late = false;
        loop {
            match self.try_recv(ahead) {
                Err(NotReceived::Empty) if late => return Err(NotReceived::TimedOut),
                Err(NotReceived::Empty) => {}
                ended => return ended,
            }
            let (wait, waker) = prepare().map_err(|_| NotReceived::Refused)?;
            let mut state = lock(&self.state);
            if let Ok((value, wakers)) = state.take_oldest(ahead) {
                drop(state);
                wake_all(wakers.into_iter().flatten());
                return Ok(value);
            }
            if state.senders == 0 {
                return Err(NotReceived::Disconnected);
            }
            let key = state.waiting.push((), waker);
            drop(state);
            let mut receiver = Waiting { shared: self, ahead, key, passes_on: true };
            with_cleanup(&|| receiver.leave(), || {
                match wait.park("a channel between threads", until) {
                    Woken::Yes => {}
                    Woken::TimedOut => late = true,
                    Woken::Killed => leave(),
                }
            });
            // The receiver looks for the value itself.
            receiver.passes_on = false;
        }
    }

    /// Tells whether a receive would not wait, for a channel that has room.
    pub(in crate::sync) fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.senders == 0 || !state.values.is_empty()
    }

    /// Counts one more sender.
    pub(in crate::sync) fn add_sender(&self) {
        lock(&self.state).senders += 1;
    }

    /// Counts one sender less. The last one wakes the receivers, whose value will not come.
    pub(in crate::sync) fn remove_sender(&self) {
        let mut state = lock(&self.state);
        state.senders -= 1;
        let over = state.senders == 0;
        let wakers = if over { state.waiting.grant_all() } else { Vec::new() };
        drop(state);
        wake_all(wakers);
    }

    /// Returns the number of values that have not been received, those of blocked senders included.
    pub(in crate::sync) fn len(&self) -> usize {
        let state = lock(&self.state);
        state.values.len() + state.blocked.waiting()
    }

    /// Counts one more receiver.
    pub(in crate::sync) fn add_receiver(&self) {
        lock(&self.state).receivers += 1;
    }

    /// Counts one receiver less. After the last one, blocked senders get their values back, and
    /// values that were taken in are dropped.
    pub(in crate::sync) fn remove_receiver(&self, ahead: Option<Ahead<T>>) {
        let mut state = lock(&self.state);
        state.receivers -= 1;
        if state.receivers > 0 {
            return;
        }
        let values = std::mem::take(&mut state.values);
        let wakers = state.blocked.grant_all();
        drop(state);
        wake_all(wakers);
        drop(ahead);
        drop(values);
    }
}

/// A blocked sender's entry. If it is unwound, it takes its value with it, if that is still there.
struct Blocked<'a, T> {
    shared: &'a Shared<T>,
    key: Key,
}

impl<T> Blocked<'_, T> {
    /// Leaves the queue. Returns the value if it has not been taken, and whether all receivers are
    /// gone.
    fn quit(self) -> (Option<T>, bool) {
        let left = self.remove();
        std::mem::forget(self);
        left
    }

    fn remove(&self) -> (Option<T>, bool) {
        lock(&self.shared.state).blocked.remove(self.key)
    }
}

impl<T> Drop for Blocked<'_, T> {
    fn drop(&mut self) {
        let (value, _) = self.remove();
        drop(value);
    }
}

/// A waiting receiver's entry. If the receiver is unwound after it was woken for a value, the entry
/// wakes the next receiver.
struct Waiting<'a, T> {
    shared: &'a Shared<T>,
    ahead: Option<&'a Ahead<T>>,
    key: Key,
    passes_on: bool,
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.leave();
    }
}

impl<T> Waiting<'_, T> {
    fn leave(&self) {
        let mut state = lock(&self.shared.state);
        let ((), told) = state.waiting.remove(self.key);
        let mut waker = None;
        let is_there = !state.values.is_empty() || self.ahead.is_some_and(|it| !it.is_empty());
        if told && self.passes_on && is_there {
            waker = state.waiting.grant_first();
        }
        drop(state);
        wake_all(waker);
    }
}
