//! Channels that give every value to every receiver, as tokio's `broadcast` does, between tasklets
//! of any scheduler and plain threads.
//!
//! A channel keeps a limited number of values. A sender never waits: the oldest value makes room
//! for the new one, and a receiver that had not received it gets the number of values that it has
//! missed.
//!
//! ```
//! use overlapped::{run, spawn, sync::broadcast};
//!
//! run(|| {
//!     let (sender, receiver) = broadcast::channel(16);
//!     let listeners = [receiver, sender.subscribe()].map(|receiver| {
//!         spawn(move || receiver.into_iter().map(Result::unwrap).collect::<Vec<_>>())
//!     });
//!     ["ready", "steady", "go"].map(|word| sender.send(word).unwrap());
//!     drop(sender);
//!     for listener in listeners {
//!         assert_eq!(listener.join().unwrap(), ["ready", "steady", "go"]);
//!     }
//! }).unwrap();
//! ```
//!
//! - **A kill** unwinds out of a call that waits, and takes no value with it.
//! - **A deadline** of [`timeout`](crate::time::timeout) ends waits with [`RecvError::TimedOut`].
//! - **A call that may not wait** (unwinding, inside [`no_switch`](crate::task::no_switch)) makes
//!   one attempt, then it returns [`RecvError::WouldBlock`].
//! - **A loop that never waits** lets others run every 256th time that it sends or finds nothing,
//!   as those of [`mpsc`](super::mpsc) do.

mod error;
mod state;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::SendError;

pub use self::error::RecvError;
use self::state::State;
use super::base::monitor::{Monitor, Unseen};
use crate::task::{count_busy_call, waiter};
use crate::time;

/// Makes a channel that keeps `capacity` values (at least one) for receivers that have not received
/// them yet.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Monitor::new(State::new(capacity.max(1))));
    let receiver = Receiver { shared: Arc::clone(&shared), next: 0 };
    (Sender { shared }, receiver)
}

/// A sending end of a channel. After the last one is gone, receivers get the values that are left,
/// then an error.
pub struct Sender<T> {
    shared: Arc<Monitor<State<T>>>,
}

/// A receiving end of a channel. It gets every value that is sent while it exists.
pub struct Receiver<T> {
    shared: Arc<Monitor<State<T>>>,
    /// The position of the value that it gets next.
    next: u64,
}

impl<T> Sender<T> {
    /// Sends a value to all receivers, and returns their number. Never waits.
    ///
    /// # Errors
    /// The value in an error, if no receiver exists.
    pub fn send(&self, value: T) -> Result<usize, SendError<T>> {
        count_busy_call();
        let value = Arc::new(value);
        match self.shared.change(|state| state.send(value)) {
            Ok((receivers, oldest)) => {
                drop(oldest);
                Ok(receivers)
            }
            Err(value) => {
                let value = Arc::into_inner(value);
                Err(SendError(value.expect("a value that was not sent has one owner")))
            }
        }
    }

    /// Makes one more receiver, for values that are sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }

    /// Returns the number of receivers.
    pub fn receiver_count(&self) -> usize {
        self.shared.with(|state| state.receivers)
    }
}

fn subscribe<T>(shared: &Arc<Monitor<State<T>>>) -> Receiver<T> {
    let next = shared.with(State::subscribe);
    Receiver { shared: Arc::clone(shared), next }
}

impl<T: Clone> Receiver<T> {
    /// Waits for the next value, and returns a clone of it; the last receiver gets the value
    /// itself.
    ///
    /// # Errors
    /// [`RecvError`] says why no value was received.
    pub fn recv(&mut self) -> Result<T, RecvError> {
        self.recv_until(waiter::deadline())
    }

    /// Receives as [`recv`](Receiver::recv) does, and waits for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvError`] says why no value was received.
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<T, RecvError> {
        self.recv_until(time::deadline_in(timeout).min(waiter::deadline()))
    }

    /// Receives as [`recv`](Receiver::recv) does, without waiting.
    ///
    /// # Errors
    /// [`RecvError`] says why no value was received: `WouldBlock` if none has come yet.
    pub fn try_recv(&mut self) -> Result<T, RecvError> {
        match self.shared.with(|state| state.recv(&mut self.next)) {
            Some(received) => received.map(Arc::unwrap_or_clone),
            None => {
                count_busy_call();
                Err(RecvError::WouldBlock)
            }
        }
    }

    fn recv_until(&mut self, until: u64) -> Result<T, RecvError> {
        let next = &mut self.next;
        match self.shared.wait("a broadcast channel", until, |state| state.recv(next)) {
            Ok(received) => received.map(Arc::unwrap_or_clone),
            Err(Unseen::TimedOut) => Err(RecvError::TimedOut),
            Err(Unseen::Refused) => Err(RecvError::WouldBlock),
        }
    }

    /// Iterates over the values as [`recv`](Receiver::recv) returns them. Missed values are an
    /// item, too, [`RecvError::Lagged`]; any other error is the end.
    pub fn iter(&mut self) -> Iter<'_, T> {
        Iter { receiver: self }
    }

    fn next_item(&mut self) -> Option<Result<T, RecvError>> {
        match self.recv() {
            Ok(value) => Some(Ok(value)),
            Err(lagged @ RecvError::Lagged(_)) => Some(Err(lagged)),
            Err(_) => None,
        }
    }
}

impl<T> Receiver<T> {
    /// Makes one more receiver, for values that are sent from now on.
    pub fn resubscribe(&self) -> Receiver<T> {
        subscribe(&self.shared)
    }
}

/// The iterator of [`Receiver::iter`].
#[derive(Debug)]
pub struct Iter<'a, T> {
    receiver: &'a mut Receiver<T>,
}

/// An iterator over the values of a [`Receiver`] that it owns, like [`Receiver::iter`].
#[derive(Debug)]
pub struct IntoIter<T> {
    receiver: Receiver<T>,
}

impl<T: Clone> Iterator for Iter<'_, T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Result<T, RecvError>> {
        self.receiver.next_item()
    }
}

impl<T: Clone> Iterator for IntoIter<T> {
    type Item = Result<T, RecvError>;

    fn next(&mut self) -> Option<Result<T, RecvError>> {
        self.receiver.next_item()
    }
}

impl<'a, T: Clone> IntoIterator for &'a mut Receiver<T> {
    type Item = Result<T, RecvError>;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<T: Clone> IntoIterator for Receiver<T> {
    type Item = Result<T, RecvError>;
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

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.change(|state| state.senders -= 1);
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        let unread = self.shared.with(|state| state.leave(self.next));
        drop(unread);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let receivers = self.receiver_count();
        f.debug_struct("Sender").field("receivers", &receivers).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("next", &self.next).finish_non_exhaustive()
    }
}
