//! A channel for one value, between tasklets of any scheduler and plain threads.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use std::sync::mpsc::{RecvError, RecvTimeoutError, SendError, TryRecvError};

pub(crate) use super::mpsc::NotReceived;
use super::mpsc::Shared;
use crate::task::waiter;
use crate::time;

/// Makes a channel for one value: an answer, a result, a signal to go on.
///
/// The rules of [`mpsc`](super::mpsc) for kills and deadlines hold here as well.
///
/// ```
/// use overlapped::sync::oneshot;
///
/// overlapped::run(|| {
///     let (sender, receiver) = oneshot::channel();
///     std::thread::spawn(move || sender.send(6 * 7));
///     assert_eq!(receiver.recv(), Ok(42));
/// }).unwrap();
/// ```
pub fn channel<T>() -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared::new(1));
    (Sender { shared: Arc::clone(&shared) }, Receiver { shared })
}

/// The sending end. When it is dropped without a send, the receiver gets an error.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// The receiving end.
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Sender<T> {
    /// Sends the value. Never waits.
    ///
    /// # Errors
    /// The value in an error, if the receiver is gone.
    pub fn send(self, value: T) -> Result<(), SendError<T>> {
        self.shared.try_send(value).map_err(SendError::from)
    }
}

impl<T> Sender<T> {
    /// Returns a function that sends a value in the place of a sender that is leaked.
    pub(crate) fn instead(&self) -> impl FnOnce(T) + use<T> {
        let shared = Arc::downgrade(&self.shared);
        move |value| {
            if let Some(shared) = shared.upgrade() {
                drop(shared.try_send(value));
            }
        }
    }
}

impl<T> Receiver<T> {
    /// Waits for the value.
    ///
    /// # Errors
    /// If the sender is gone without a value, or the value has been received; at a deadline of
    /// [`timeout`](crate::time::timeout), after which the call can be repeated.
    pub fn recv(&self) -> Result<T, RecvError> {
        self.recv_until(waiter::deadline()).map_err(|_| RecvError)
    }

    /// Waits for the value, for `timeout` at most.
    ///
    /// # Errors
    /// [`RecvTimeoutError`] says why no value was received.
    pub fn recv_timeout(&self, timeout: Duration) -> Result<T, RecvTimeoutError> {
        let until = time::deadline_in(timeout).min(waiter::deadline());
        self.recv_until(until).map_err(RecvTimeoutError::from)
    }

    /// Takes the value, if it is there.
    ///
    /// # Errors
    /// [`TryRecvError`] says why it is not.
    pub fn try_recv(&self) -> Result<T, TryRecvError> {
        self.shared.recv_now(None)
    }

    /// Waits for the value until the port's clock shows `until`.
    pub(crate) fn recv_until(&self, until: u64) -> Result<T, NotReceived> {
        self.shared.recv(None, until)
    }

    /// Tells whether the sender has sent the value or is gone.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.is_ready()
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
        f.debug_struct("Sender").finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Receiver<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").finish_non_exhaustive()
    }
}
