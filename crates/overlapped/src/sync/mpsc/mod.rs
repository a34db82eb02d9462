//! Channels between threads: `std::sync::mpsc` that blocks the calling tasklet only.
//!
//! The names, the semantics and the errors are std's; a change of the `use` line is enough. The
//! ends may be in tasklets of any scheduler and in plain threads. (Between tasklets of one thread,
//! [`Channel`](crate::Channel) is quicker and reports deadlocks.)
//!
//! Beyond std there are these rules:
//!
//! - **A kill** unwinds out of `send` and `recv`. It neither loses nor duplicates a value.
//! - **A deadline** of [`timeout`](crate::time::timeout): `recv` gives [`RecvError`], `send` gives
//!   the value back in a [`SendError`], `recv_timeout` says `Timeout`.
//! - **A call that may not wait** (unwinding, inside [`no_switch`](crate::task::no_switch)) makes
//!   one attempt; then it returns the same errors.
//! - **A loop that never waits**: tasklets are not preempted, so some calls let others run: every
//!   256th of [`Sender::send`], of `try_send` without room, and of `try_recv` without a value,
//!   counted since the tasklet last began to run. It is a suspension point then; inside
//!   [`no_switch`](crate::task::no_switch) it is not.
//!
//! Std's [`RecvError`] and [`SendError`] do not say the reason. If a deadline is set, `try_recv`
//! tells whether the channel is empty or disconnected.
//!
//! There is one [`Receiver`]. Tasklets of one thread may share it, in an [`Rc`](std::rc::Rc) or by
//! reference: each value goes to one of them. For receivers in several threads there is
//! [`mpmc`](super::mpmc).

mod iter;
mod shared;

use std::cell::Cell;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError, TrySendError};

pub(in crate::sync) use iter::iterators;
use shared::Ahead;
pub(crate) use shared::NotReceived;
pub(in crate::sync) use shared::{Shared, Unsent};

use super::base::{queue, rt};
use crate::task::{count_busy_call, waiter};
use crate::time;

/// Makes a channel without a limit: [`Sender::send`] never waits.
///
/// ```
/// use overlapped::sync::mpsc::channel;
///
/// overlapped::run(|| {
///     let (sender, receiver) = channel();
///     std::thread::spawn(move || (0..3).for_each(|n| sender.send(n).unwrap()));
///     // Blocks this tasklet, not the others of this thread.
///     assert_eq!(receiver.iter().collect::<Vec<_>>(), [0, 1, 2]);
/// }).unwrap();
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(usize::MAX));
    let ahead = Some(Ahead::new());
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared, ahead, thread: PhantomData })
}

/// Makes a channel that holds `bound` values; one more waits for room. With 0 a send waits for a
/// receiver.
///
/// ```
/// use overlapped::{scope, sync::mpsc::sync_channel};
///
/// overlapped::run(|| {
///     let (sender, receiver) = sync_channel(1);
///     scope(|s| {
///         s.spawn(move || (0..5).for_each(|n| sender.send(n).unwrap()));
///         s.spawn(move || assert_eq!(receiver.iter().sum::<i32>(), 10));
///     });
/// }).unwrap();
/// ```
pub fn sync_channel<T>(bound: usize) -> (SyncSender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(bound));
    let sender = SyncSender { shared: Arc::clone(&shared) };
    (sender, Receiver { shared, ahead: None, thread: PhantomData })
}

/// The sending end of a [`channel`].
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The sending end of a [`sync_channel`].
pub struct SyncSender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving end of a channel. It is `Send`, so another thread can own it; it is neither `Sync`
/// nor `Clone`, so two threads cannot receive: [`mpmc`](super::mpmc) is for that.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    ahead: Option<Ahead<T>>,
    thread: PhantomData<Cell<()>>,
}

/// Its values lie elsewhere, and are never pinned.
impl<T> Unpin for Receiver<T> {}
impl<T> UnwindSafe for Receiver<T> {}
impl<T> RefUnwindSafe for Receiver<T> {}

impl<T> Sender<T> {
    /// Sends a value. Never waits. A value that was sent may still never be received.
    ///
    /// # Errors
    /// The value in an error, if the receiver is gone.
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        count_busy_call();
        self.shared.try_send(t).map_err(SendError::from)
    }
}

impl<T> SyncSender<T> {
    /// Sends a value, and waits for room.
    ///
    /// # Errors
    /// The value in an error, if the receiver is gone or goes meanwhile; see the
    /// [module](crate::sync::mpsc) for deadlines.
    pub fn send(&self, t: T) -> Result<(), SendError<T>> {
        self.shared.send(t).map_err(SendError::from)
    }

    /// Sends a value if the channel has room; with a bound of 0, if a receiver waits.
    ///
    /// # Errors
    /// The value in an error that says why.
    pub fn try_send(&self, t: T) -> Result<(), TrySendError<T>> {
        self.shared.send_now(t)
    }
}

impl<T> Receiver<T> {
    /// Takes a value, if there is one.
    ///
    /// # Errors
    /// [`TryRecvError`] says why no value was received.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.recv_now(self.ahead.as_ref())
    }

    /// Waits for a value.
    ///
    /// # Errors
    /// If all senders are gone and all values received; see the [module](crate::sync::mpsc) for
    /// deadlines.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.shared.recv(self.ahead.as_ref(), waiter::deadline()).map_err(|_| RecvError)
    }

    /// Waits for a value, for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvTimeoutError`] says why no value was received.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let until = time::deadline_in(timeout).min(waiter::deadline());
        self.shared.recv(self.ahead.as_ref(), until).map_err(RecvTimeoutError::from)
    }
}

iterators!();

impl<T> Shared<T> {
    /// Sends as [`Shared::try_send`] does, for users: a call that finds no room counts as a busy
    /// call.
    pub(in crate::sync) fn send_now(&self, value: T) -> Result<(), TrySendError<T>> {
        self.try_send(value).map_err(|unsent| match unsent {
            Unsent::Full(value) => {
                count_busy_call();
                TrySendError::Full(value)
            }
            Unsent::Disconnected(value) => TrySendError::Disconnected(value),
        })
    }

    /// Receives as [`Shared::try_recv`] does, for users: a call that finds nothing counts as a busy
    /// call.
    pub(in crate::sync) fn recv_now(&self, ahead: Option<&Ahead<T>>) -> Result<T, TryRecvError> {
        self.try_recv(ahead).map_err(|reason| match reason {
            NotReceived::Disconnected => TryRecvError::Disconnected,
            NotReceived::Empty | NotReceived::TimedOut | NotReceived::Refused => {
                count_busy_call();
                TryRecvError::Empty
            }
        })
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Sender<T> {
        self.shared.add_sender();
        Sender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Clone for SyncSender<T> {
    fn clone(&self) -> SyncSender<T> {
        self.shared.add_sender();
        SyncSender { shared: Arc::clone(&self.shared) }
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> Drop for SyncSender<T> {
    fn drop(&mut self) {
        self.shared.remove_sender();
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.remove_receiver(self.ahead.take());
    }
}

impl<T> fmt::Debug for Sender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for SyncSender<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncSender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
