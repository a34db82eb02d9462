//! Select: one of several alternatives happens, and the others leave no trace.
//!
//! [`Select`] collects the alternatives, each with a closure for its result, and waits. The
//! [`select!`](crate::select!) macro writes the same with bodies in place of closures.
//!
//! The caller keeps the values of alternatives that do not happen: a value to be sent or a handle
//! to be joined is given as `&mut Option<…>`, and taken out only if its alternative wins. So
//! nothing is lost when another one wins. An alternative whose option is `None` takes no part,
//! which switches it off in a loop.

mod arms;
mod syntax;

use core::time::Duration;
use std::fmt;
use std::io;
#[cfg(unix)]
use std::os::fd::AsFd as Waitable;
#[cfg(windows)]
use std::os::windows::io::AsSocket as Waitable;

use super::{Channel, RecvError, SendError};
use crate::sched::NEVER;
use crate::sys::readiness::Interest;
use crate::task::select::{Readiness, SelectOptions, SelectSource, Timer, select};
use crate::task::{JoinError, Joinable, WaitError};
use crate::time::{Instant, deadline_in};
use arms::{Arm, Join, Passive, Recv, Send};

/// Several alternatives, of which one will happen.
///
/// If several can happen now, any of them is chosen, each as likely as the others; or the first
/// one, after [`biased`](Select::biased). If none can, the tasklet waits for all of them, and the
/// first that becomes possible happens.
///
/// A meeting in a channel follows the rules of plain calls: plain waiters and selects are served in
/// order of arrival, with the channel's [`Handover`](super::Handover), and observers see the
/// meeting. While a select waits, [`balance`](Channel::balance) counts each of its alternatives.
/// Two selects meet as well, even if each offers to send and to receive. An alternative on a
/// closing channel happens with `Closed`.
///
/// A kill, a deadline set by [`timeout`](crate::time::timeout) and a deadlock report end the wait
/// as they end others. An alternative that waits for a descriptor is an operation in flight: when
/// another one wins, it is cancelled, and the select returns after its end. Such a select goes to
/// the end of the ready queue a moment later, regardless of the channel's handover.
///
/// Outside a scheduler no tasklet could send, receive or end, so only descriptors and times are
/// waited for, with the whole thread.
///
/// ```
/// use overlapped::{run, spawn, Channel, Select, time::Duration};
/// #[derive(Debug, PartialEq)]
/// enum Event {
///     Order(u32),
///     Quiet,
/// }
/// run(|| {
///     let orders = Channel::new();
///     let customer = orders.clone();
///     let customer = spawn(move || customer.send(7).unwrap());
///     let next = || {
///         Select::new()
///             .recv(&orders, |order| Event::Order(order.unwrap()))
///             .after(Duration::from_millis(5), || Event::Quiet)
///             .wait()
///             .unwrap()
///     };
///     assert_eq!(next(), Event::Order(7));
///     assert_eq!(next(), Event::Quiet);
///     customer.join().unwrap();
/// }).unwrap();
/// ```
#[must_use = "a select does nothing until one of its waits is called"]
pub struct Select<'a, R> {
    arms: Vec<Box<dyn Arm<R> + 'a>>,
    biased: bool,
}

impl<'a, R> Select<'a, R> {
    /// Makes a select without alternatives.
    pub fn new() -> Select<'a, R> {
        Select { arms: Vec::new(), biased: false }
    }

    /// Chooses the first of several that can happen now, in the order of the calls. A sender
    /// that never stops then starves everything after it.
    pub fn biased(mut self) -> Select<'a, R> {
        self.biased = true;
        self
    }

    fn arm(mut self, arm: impl Arm<R> + 'a) -> Select<'a, R> {
        self.arms.push(Box::new(arm));
        self
    }

    /// Takes a value from a sender. `f` gets the value, or [`RecvError::Closed`].
    pub fn recv<T: 'a>(
        self,
        channel: &'a Channel<T>,
        f: impl FnOnce(Result<T, RecvError>) -> R + 'a,
    ) -> Select<'a, R> {
        self.arm(Recv::new(&channel.core, f))
    }

    /// Sends the value in `value` to a receiver, and leaves `None` there. `f` gets `Ok` when it
    /// happened, or the value back in [`SendError::Closed`]. With `None` it takes no part.
    ///
    /// ```
    /// use overlapped::{run, spawn, Channel, Select};
    /// run(|| {
    ///     let (left, right) = (Channel::new(), Channel::new());
    ///     let receiver = right.clone();
    ///     let receiver = spawn(move || receiver.recv());
    ///     let (mut a, mut b) = (Some("to the left"), Some("to the right"));
    ///     let sent = Select::new()
    ///         .send(&left, &mut a, |_| "left")
    ///         .send(&right, &mut b, |_| "right")
    ///         .wait();
    ///     assert_eq!(sent, Ok("right"));
    ///     assert_eq!((a, b), (Some("to the left"), None));
    ///     assert_eq!(receiver.join().unwrap(), Ok("to the right"));
    /// }).unwrap();
    /// ```
    pub fn send<T: 'a>(
        self,
        channel: &'a Channel<T>,
        value: &'a mut Option<T>,
        f: impl FnOnce(Result<(), SendError<T>>) -> R + 'a,
    ) -> Select<'a, R> {
        self.arm(Send::new(&channel.core, value, f))
    }

    /// Waits for the end of a tasklet, takes its handle out of `handle`, and gives `f` its result.
    /// With `None` it takes no part.
    ///
    /// ```
    /// use overlapped::{run, spawn, Select, time::{Duration, sleep}};
    /// run(|| {
    ///     let mut worker = Some(spawn(|| sleep(Duration::from_millis(10))));
    ///     let mut ticks = 0;
    ///     while worker.is_some() {
    ///         let ended = Select::new()
    ///             .join(&mut worker, |result| result.is_ok())
    ///             .after(Duration::from_millis(1), || false)
    ///             .wait();
    ///         ticks += u32::from(!ended.unwrap());
    ///     }
    ///     assert!(ticks > 0);
    /// }).unwrap();
    /// ```
    pub fn join<H: Joinable + 'a>(
        self,
        handle: &'a mut Option<H>,
        f: impl FnOnce(Result<H::Output, JoinError>) -> R + 'a,
    ) -> Select<'a, R> {
        self.arm(Join::new(handle, f))
    }

    /// Happens by itself `duration` from this call.
    pub fn after(self, duration: Duration, f: impl FnOnce() -> R + 'a) -> Select<'a, R> {
        self.arm(Passive::new(Timer::new(deadline_in(duration)), |_| f()))
    }

    /// Happens by itself at `instant`, a time that several selects in a loop may share.
    pub fn at(self, instant: Instant, f: impl FnOnce() -> R + 'a) -> Select<'a, R> {
        self.arm(Passive::new(Timer::new(instant.to_nanos()), |_| f()))
    }

    /// Waits until `descriptor` has something to read, or an end, or an error, as
    /// [`wait_readable`](crate::net::wait_readable) does. `f` may read then, and may still find
    /// nothing if others read from it, too.
    ///
    /// An owned descriptor, or a share of one (`Rc`, `Arc`), is kept until the select has ended.
    pub fn readable(
        self,
        descriptor: impl Waitable + 'a,
        f: impl FnOnce(io::Result<()>) -> R + 'a,
    ) -> Select<'a, R> {
        self.ready(descriptor, Interest::Readable, f)
    }

    /// Waits until `descriptor` has room to write, or an error.
    pub fn writable(
        self,
        descriptor: impl Waitable + 'a,
        f: impl FnOnce(io::Result<()>) -> R + 'a,
    ) -> Select<'a, R> {
        self.ready(descriptor, Interest::Writable, f)
    }

    fn ready(
        self,
        descriptor: impl Waitable + 'a,
        interest: Interest,
        f: impl FnOnce(io::Result<()>) -> R + 'a,
    ) -> Select<'a, R> {
        let readiness = Readiness::new(descriptor, interest);
        self.arm(Passive::new(readiness, |readiness| f(readiness.result())))
    }

    /// Waits until one alternative happens, and returns what its closure returns.
    ///
    /// # Errors
    /// [`WaitError`] says why none has happened.
    pub fn wait(self) -> Result<R, WaitError> {
        self.until(Some(NEVER))
    }

    /// Waits for at most `limit`.
    ///
    /// # Errors
    /// [`WaitError`] says why none has happened.
    pub fn wait_timeout(self, limit: Duration) -> Result<R, WaitError> {
        let until = deadline_in(limit);
        self.until(Some(until))
    }

    /// Runs the closure of an alternative that can happen now. Never waits, and never switches.
    ///
    /// # Errors
    /// [`WaitError::WouldBlock`] if none can; [`WaitError::Empty`].
    pub fn try_wait(self) -> Result<R, WaitError> {
        self.until(None)
    }

    fn until(mut self, until: Option<u64>) -> Result<R, WaitError> {
        let sources = self.arms.iter().map(|arm| -> &dyn SelectSource { &**arm });
        let (at, wake) = select(sources, SelectOptions { biased: self.biased, until })?;
        let arm = self.arms.swap_remove(at);
        drop(self);
        Ok(arm.finish(wake))
    }
}

impl<R> Default for Select<'_, R> {
    fn default() -> Self {
        Select::new()
    }
}

impl<R> fmt::Debug for Select<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("alternatives", &self.arms.len())
            .field("biased", &self.biased)
            .finish()
    }
}
