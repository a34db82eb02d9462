//! Channels with many receivers: `std::sync::mpmc` (unstable in std) that blocks the calling
//! tasklet only.
//!
//! Each value goes to one receiver. Both ends are `Clone`, `Send` and `Sync`, so they may be in
//! tasklets of any scheduler and in plain threads: a queue of work for all cores. If each receiver
//! is to get each value, use [`broadcast`](super::broadcast).
//!
//! The rules of [`mpsc`](super::mpsc) for kills, deadlines, busy loops, and calls that may not wait
//! hold here as well. A receiver that runs may take a value before another one that was woken for
//! it has come.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

use super::mpsc::{Shared, iterators};
use crate::task::{count_busy_call, waiter};
use crate::time;

/// Makes a channel without a limit: [`Sender::send`] never waits.
///
/// ```
/// use overlapped::{Config, sync::mpmc::channel, task::place_on_each};
///
/// let sum = Config::new().threads(2).run(|| {
///     let (sender, receiver) = channel();
///     let workers = place_on_each(move |_| receiver.iter().sum::<u64>()).unwrap();
///     (1..=100).for_each(|n| sender.send(n).unwrap());
///     drop(sender);
///     workers.into_iter().map(|worker| worker.join().unwrap()).sum::<u64>()
/// });
/// assert_eq!(sum.unwrap(), 5050);
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    ends(usize::MAX)
}

/// Makes a channel that holds `cap` values; one more waits for room. With 0 a send waits for a
/// receiver.
///
/// ```
/// use overlapped::{scope, sync::mpmc::sync_channel};
///
/// overlapped::run(|| {
///     let (sender, receiver) = sync_channel(1);
///     scope(|s| {
///         let workers = [(); 3].map(|()| {
///             let receiver = receiver.clone();
///             s.spawn(move || receiver.iter().count())
///         });
///         (0..30).for_each(|n| sender.send(n).unwrap());
///         drop(sender);
///         assert_eq!(workers.map(|worker| worker.join().unwrap()).iter().sum::<usize>(), 30);
///     });
/// }).unwrap();
/// ```
pub fn sync_channel<T>(cap: usize) -> (Sender<T>, Receiver<T>) {
    ends(cap)
}

fn ends<T>(room: usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(room));
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// A sending end of a channel. After the last one is gone, receivers get the values that are left,
/// then an error.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A receiving end of a channel. After the last one is gone, nothing can be sent, and values that
/// were not received are dropped.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends a value, and waits for room.
    ///
    /// # Errors
    /// The value in an error, if all receivers are gone or go meanwhile; see the
    /// [module](crate::sync::mpmc) for deadlines.
    pub fn send(&self, msg: T) -> Result<(), SendError<T>> {
        count_busy_call();
        self.shared.send(msg).map_err(SendError::from)
    }

    /// Sends a value if the channel has room; with a capacity of 0, if a receiver waits.
    ///
    /// # Errors
    /// The value in an error that says why.
    pub fn try_send(&self, msg: T) -> Result<(), TrySendError<T>> {
        self.shared.send_now(msg)
    }

    /// Returns the number of values that wait to be received, those of blocked senders included.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Tells whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T> Receiver<T> {
    /// Takes a value, if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`] says why no value was received.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.recv_now(None)
    }

    /// Waits for a value.
    ///
    /// # Errors
    /// If all senders are gone and all values received; see the [module](crate::sync::mpmc) for
    /// deadlines.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.shared.recv(None, waiter::deadline()).map_err(|_| RecvError)
    }

    /// Waits for a value, for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvTimeoutError`] says why no value was received.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let until = time::deadline_in(timeout).min(waiter::deadline());
        self.shared.recv(None, until).map_err(RecvTimeoutError::from)
    }

    /// Returns the number of values that wait to be received, those of blocked senders included.
    pub fn len(&self) -> usize {
        self.shared.len()
    }

    /// Tells whether no value waits to be received.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

iterators!();

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Receiver<T> {
        self.shared.add_receiver();
        Receiver { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.remove_receiver(None);
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("len", &self.len()).finish_non_exhaustive()
    }
}
