//! Channels: a rendezvous between tasklets of one thread, with Stackless Python's semantics.
//!
//! A channel has no buffer. A sender and a receiver meet; the value goes from one's stack to the
//! other's. The one that comes first waits in the channel's queue, first come, first served. So the
//! queue holds senders or receivers, never both: that is its [`balance`](Channel::balance).
//!
//! The channel's [`Handover`] decides the *order of running* when a partner is waiting already. For
//! a ready queue `[a, b]`, the caller `c` and the partner `p`:
//!
//! | handover | the caller's call returns | order of running |
//! |---|---|---|
//! | prefers the partner's side | when its turn comes | `p a b c` |
//! | prefers the caller's side, or `Neither` | at once | `c a b p` |
//! | `Yield` | when its turn comes | `a b p c` |
//!
//! So by default a send runs the receiver at once, and a receive goes on at once.
//!
//! There are two differences from the original. [`close`](Channel::close) wakes blocked tasklets
//! (the original leaves a blocked receiver waiting for ever, which its own authors call ill
//! conceived). Exceptions travel as `Channel<Result<T, E>>`. Left out, because they mean nothing in
//! a typed, compiled language: pickling, preemption by opcode count, `bind` of an argument tuple,
//! `throw`.

mod error;
mod handover;
mod iter;
mod select;
mod transfer;

use core::time::Duration;
use std::fmt;
use std::rc::Rc;

pub use error::{RecvError, SendError};
pub use handover::Handover;
pub use iter::{IntoIter, Iter};
pub use select::Select;
use transfer::{Core, WaitLimit};

/// A rendezvous of any number of senders and receivers on one thread. A clone is another handle to
/// the same channel.
///
/// ```
/// use overlapped::{run, spawn, Channel};
/// run(|| {
///     let channel = Channel::new();
///     let questions = channel.clone();
///     let asker = spawn(move || questions.send("what is the time?"));
///     assert_eq!(channel.recv(), Ok("what is the time?"));
///     asker.join().unwrap().unwrap();
/// }).unwrap();
/// ```
///
/// `T` is invariant, since values go in and come out:
///
/// ```compile_fail
/// fn shorten<'a>(
///     channel: overlapped::Channel<&'static str>,
/// ) -> overlapped::Channel<&'a str> {
///     channel
/// }
/// ```
pub struct Channel<T> {
    core: Rc<Core<T>>,
}

impl<T> Channel<T> {
    /// Makes an open channel that prefers receivers.
    pub fn new() -> Channel<T> {
        Channel::with_handover(Handover::default())
    }

    /// Makes an open channel with this handover.
    pub fn with_handover(handover: Handover) -> Channel<T> {
        Channel { core: Rc::new(Core::new(handover, None)) }
    }

    /// Makes an open channel that prefers receivers, with a name for deadlock reports and dumps.
    /// Without a name they show its address.
    ///
    /// ```
    /// overlapped::run(|| {
    ///     let jobs = overlapped::Channel::<u8>::named("jobs");
    ///     let error = jobs.recv().unwrap_err();
    ///     assert!(error.to_string().contains("receiving from channel 'jobs'"));
    /// }).unwrap();
    /// ```
    pub fn named(name: impl Into<String>) -> Channel<T> {
        let name = Some(name.into().into_boxed_str());
        Channel { core: Rc::new(Core::new(Handover::default(), name)) }
    }

    /// Returns the name given to [`named`](Channel::named).
    pub fn name(&self) -> Option<&str> {
        self.core.name()
    }

    /// Hands `value` to a receiver; waits until one is there.
    ///
    /// # Errors
    /// [`SendError`] gives the value back and says why. Outside a scheduler no tasklet could ever
    /// receive, so a send that would wait is a deadlock at once.
    #[inline(always)]
    pub fn send(&self, value: T) -> Result<(), SendError<T>> {
        self.core.send(value, WaitLimit::Forever)
    }

    /// Takes a value from a sender; waits until one is there.
    ///
    /// # Errors
    /// [`RecvError`] says when. Outside a scheduler a receive that would wait is a deadlock at
    /// once.
    #[inline(always)]
    pub fn recv(&self) -> Result<T, RecvError> {
        self.core.recv(WaitLimit::Forever)
    }

    /// Hands `value` to a receiver that is waiting already. Never switches: the receiver goes to
    /// the end of the ready queue.
    ///
    /// # Errors
    /// [`SendError::WouldBlock`] if no receiver waits, [`SendError::Closed`] on a closing channel.
    pub fn try_send(&self, value: T) -> Result<(), SendError<T>> {
        self.core.send(value, WaitLimit::None)
    }

    /// Takes a value from a sender that is waiting already. Never switches.
    ///
    /// # Errors
    /// [`RecvError::WouldBlock`] if no sender waits, [`RecvError::Closed`] on a closing channel.
    pub fn try_recv(&self) -> Result<T, RecvError> {
        self.core.recv(WaitLimit::None)
    }

    /// Sends as [`send`](Channel::send) does, and waits for at most `limit`.
    ///
    /// # Errors
    /// Also [`SendError::TimedOut`].
    pub fn send_timeout(&self, value: T, limit: Duration) -> Result<(), SendError<T>> {
        self.core.send(value, WaitLimit::Until(crate::time::deadline_in(limit)))
    }

    /// Receives as [`recv`](Channel::recv) does, and waits for at most `limit`.
    ///
    /// # Errors
    /// Also [`RecvError::TimedOut`].
    pub fn recv_timeout(&self, limit: Duration) -> Result<T, RecvError> {
        self.core.recv(WaitLimit::Until(crate::time::deadline_in(limit)))
    }

    /// Sends every item, and returns their number: the original's `send_sequence`.
    ///
    /// # Errors
    /// Those of [`send`](Channel::send), with the item that was not sent. Pass `&mut iterator` to
    /// keep the rest.
    pub fn send_all(&self, items: impl IntoIterator<Item = T>) -> Result<usize, SendError<T>> {
        let mut sent = 0;
        for item in items {
            self.send(item)?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Returns the number of waiting senders, or minus the number of waiting receivers.
    pub fn balance(&self) -> isize {
        self.core.balance()
    }

    /// Returns the side that runs next when a partner is waiting.
    pub fn handover(&self) -> Handover {
        self.core.handover()
    }

    /// Changes [`handover`](Channel::handover), from the next meeting on.
    pub fn set_handover(&self, handover: Handover) {
        self.core.set_handover(handover);
    }

    /// Closes the channel: from now on a call that would block fails with `Closed`, and blocked
    /// tasklets are woken: receivers with [`RecvError::Closed`], senders with their value in
    /// [`SendError::Closed`].
    pub fn close(&self) {
        self.core.close(true);
    }

    /// Closes the channel, but senders that wait already can still be received from: the original's
    /// `close`. Blocked receivers are woken as by [`close`](Channel::close).
    pub fn close_draining(&self) {
        self.core.close(false);
    }

    /// Opens a closing or closed channel again.
    pub fn open(&self) {
        self.core.open();
    }

    /// Tells whether it was closed and not opened since.
    pub fn is_closing(&self) -> bool {
        self.core.is_closing()
    }

    /// Tells whether the channel is closing and no tasklet waits in it.
    pub fn is_closed(&self) -> bool {
        self.is_closing() && self.balance() == 0
    }
}

impl<T> Default for Channel<T> {
    fn default() -> Channel<T> {
        Channel::new()
    }
}

impl<T> Clone for Channel<T> {
    fn clone(&self) -> Channel<T> {
        Channel { core: Rc::clone(&self.core) }
    }
}

impl<T> fmt::Debug for Channel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name())
            .field("balance", &self.balance())
            .field("handover", &self.handover())
            .field("closing", &self.is_closing())
            .finish()
    }
}
