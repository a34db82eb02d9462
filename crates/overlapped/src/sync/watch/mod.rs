//! A value that changes, and notifications of its changes, like tokio's `watch`, between tasklets
//! of any scheduler and plain threads: a configuration, a state, the order to stop.
//!
//! Receivers see the last value, not every value: a receiver that looks late finds the newest.
//! Values are given as [`Arc`], so no lock is held while one is read, and a tasklet may keep it
//! across a wait.
//!
//! ```
//! use overlapped::{run, spawn, sync::watch};
//!
//! run(|| {
//!     let (sender, mut receiver) = watch::channel("starting");
//!     let client = spawn(move || {
//!         receiver.wait_for(|state| *state == "ready").unwrap();
//!         receiver.changed().unwrap();
//!         *receiver.borrow()
//!     });
//!     for state in ["ready", "stopping"] {
//!         overlapped::yield_now();
//!         sender.send(state).unwrap();
//!     }
//!     assert_eq!(client.join().unwrap(), "stopping");
//! }).unwrap();
//! ```
//!
//! - **A kill** unwinds out of a call that waits; a change that has come is still new for the next
//!   call.
//! - **A deadline** of [`timeout`](crate::time::timeout) ends waits with [`RecvError::TimedOut`].
//! - **A call that may not wait** (unwinding, inside [`no_switch`](crate::task::no_switch)) makes
//!   one attempt, then it returns [`RecvError::WouldBlock`].
//! - **A loop that never waits** lets others run every 256th time that it sends or asks whether the
//!   value has changed, as those of [`mpsc`](super::mpsc) do.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

pub use std::sync::mpsc::SendError;

use super::base::monitor::{Monitor, Unseen};
use crate::task::{count_busy_call, waiter};

/// Makes a channel whose first value is `value`, which counts as seen by its receivers.
pub fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let state = State { value: Arc::new(value), version: 0, senders: 1, receivers: 1 };
    let shared = Arc::new(Monitor::new(state));
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, seen: 0 })
}

struct State<T> {
    value: Arc<T>,
    /// The number of sends: 64 bits last for centuries.
    version: u64,
    /// Neither this count nor `receivers` can wrap: each end holds a share of an `Arc`, which has a
    /// limit.
    senders: usize,
    receivers: usize,
}

impl<T> State<T> {
    fn replace(&mut self, value: Arc<T>) -> Arc<T> {
        self.version += 1;
        std::mem::replace(&mut self.value, value)
    }
}

/// A sending end of a channel. After the last one is gone, receivers still see the last value, and
/// it does not change any more.
pub struct Sender<T> {
    shared: Arc<Monitor<State<T>>>,
}

/// A receiving end of a channel, which remembers the last value that it has seen. A clone has seen
/// the same.
pub struct Receiver<T> {
    shared: Arc<Monitor<State<T>>>,
    /// The version that it has seen.
    seen: u64,
}

impl<T> Sender<T> {
    /// Changes the value, and wakes all receivers that wait for it to change. Never waits.
    ///
    /// # Errors
    /// `value` in an error, if no receiver exists. The channel's value is unchanged then;
    /// [`send_replace`](Sender::send_replace) would change it.
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        count_busy_call();
        let value = Arc::new(value);
        let sent = self.shared.change(|state| match state.receivers {
            0 => Err(value),
            _ => Ok(state.replace(value)),
        });
        match sent {
            Ok(before) => {
                drop(before);
                Ok(())
            }
            Err(value) => {
                let value = Arc::into_inner(value);
                Err(SendError(value.expect("a value that was not sent has one owner")))
            }
        }
    }

    /// Changes the value, also without a receiver, and returns the one before.
    pub fn send_replace(&self, value: T) -> Arc<T> {
        count_busy_call();
        let value = Arc::new(value);
        self.shared.change(|state| state.replace(value))
    }

    /// Returns the present value.
    pub fn borrow(&self) -> Arc<T> {
        self.shared.with(|state| Arc::clone(&state.value))
    }

    /// Makes one more receiver, which has seen the present value.
    pub fn subscribe(&self) -> Receiver<T> {
        let seen = self.shared.with(|state| {
            state.receivers += 1;
            state.version
        });
        Receiver { shared: Arc::clone(&self.shared), seen }
    }

    /// Returns the number of receivers.
    pub fn receiver_count(&self) -> usize {
        self.shared.with(|state| state.receivers)
    }
}

impl<T> Receiver<T> {
    /// Returns the present value. A new value stays new for [`changed`](Receiver::changed).
    pub fn borrow(&self) -> Arc<T> {
        self.shared.with(|state| Arc::clone(&state.value))
    }

    /// Returns the present value, and marks it as seen.
    pub fn borrow_and_update(&mut self) -> Arc<T> {
        self.shared.with(|state| {
            self.seen = state.version;
            Arc::clone(&state.value)
        })
    }

    /// Tells whether a value has been sent since the last one was seen.
    ///
    /// # Errors
    /// [`RecvError::Closed`] if all senders are gone.
    pub fn has_changed(&self) -> Result<bool, RecvError> {
        count_busy_call();
        self.shared.with(|state| match state.senders {
            0 => Err(RecvError::Closed),
            _ => Ok(state.version != self.seen),
        })
    }

    /// Waits until a value has been sent since the last one was seen, and marks it as seen.
    ///
    /// # Errors
    /// [`RecvError`] says why that has not happened.
    pub fn changed(&mut self) -> Result<(), RecvError> {
        self.news().map(drop)
    }

    /// Waits until `wanted` holds for the value, and returns the value. It may hold at once.
    ///
    /// # Errors
    /// [`RecvError`] says why no new value came.
    pub fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<Arc<T>, RecvError> {
        let mut value = self.borrow_and_update();
        while !wanted(&value) {
            value = self.news()?;
        }
        Ok(value)
    }

    /// Iterates over the changes that this receiver is in time for, until
    /// [`changed`](Receiver::changed) returns an error.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    fn news(&mut self) -> Result<Arc<T>, RecvError> {
        let seen = &mut self.seen;
        let look = |state: &mut State<T>| {
            if state.version == *seen {
                return (state.senders == 0).then_some(Err(RecvError::Closed));
            }
            *seen = state.version;
            Some(Ok(Arc::clone(&state.value)))
        };
        match self.shared.wait("a new value in a watch channel", waiter::deadline(), look) {
            Ok(news) => news,
            Err(Unseen::TimedOut) => Err(RecvError::TimedOut),
            Err(Unseen::Refused) => Err(RecvError::WouldBlock),
        }
    }
}

/// The reason why no new value came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecvError {
    /// All senders are gone. A call that waits returns this only when the last value has been seen.
    Closed,
    /// The deadline set by [`timeout`](crate::time::timeout) passed first.
    TimedOut,
    /// No new value has come yet, and the caller may not wait.
    WouldBlock,
}

impl fmt::Display for RecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            RecvError::Closed => "waiting for a new value on a channel without a sender",
            RecvError::TimedOut => "the deadline passed before a new value came",
            RecvError::WouldBlock => "no new value has come, and the caller may not wait",
        })
    }
}

impl Error for RecvError {}

/// The iterator of [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a mut Receiver<T>,
}

/// An iterator over the changes for a [`Receiver`] that it owns, like [`Receiver::iter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T> Iterator for Iter<'_, T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        self.receiver.news().ok()
    }
}

impl<T> Iterator for IntoIter<T> {
    type Item = Arc<T>;

    fn next(&mut self) -> Option<Arc<T>> {
        self.receiver.news().ok()
    }
}

impl<'a, T> IntoIterator for &'a mut Receiver<T> {
    type Item = Arc<T>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T> IntoIterator for Receiver<T> {
    type Item = Arc<T>;
    type IntoIter = IntoIter<T>;

    fn into_iter(self) -> IntoIter<T> {
        IntoIter { receiver: self }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.with(|state| state.senders += 1);
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.with(|state| state.receivers += 1);
        Receiver { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.senders -= 1);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.with(|state| state.receivers -= 1);
    }
}

impl<T: fmt::Debug> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("value", &self.borrow()).finish_non_exhaustive()
    }
}

impl<T: fmt::Debug> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("value", &self.borrow()).finish_non_exhaustive()
    }
}
