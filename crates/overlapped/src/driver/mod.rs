//! The completion port's backends, behind one front: [`Driver`].
//!
//! ```text
//! task, sched ──▶ Driver ──▶ uring/ | poll/ | null      operations of tasklets: borrowed memory
//! port        ──▶ Driver                                 requests of users: owned memory
//! task, io    ──▶ try_now, block_on ──▶ direct/          no driver, or nothing to wait for
//! any thread  ──▶ Notifier ──▶ the driver's wait
//! ```
//!
//! A driver starts operations ([`submit`](Driver::submit)), cancels them on request
//! ([`cancel`](Driver::cancel)), and returns completions ([`wait`](Driver::wait)). It runs no user
//! code. Exactly one completion comes out for each submitted token, unless `submit` itself says
//! `Submitted::Done`. A cancel decides nothing: the completion does.
//!
//! A completion is the end of its operation. An operation that the system interrupts or abandons in
//! between is started again in here (`uring/unfinished.rs`); an operation ends as cancelled only if
//! it was cancelled on request, and has done nothing.
//!
//! `direct/` performs operations by plain system calls: one try without waiting, or blocking the
//! thread. The backends fall back on it, and no other code names it.
//!
//! Shutdown: [`drain`](Driver::drain) cancels everything and reaps every completion; only then is
//! the ring or the poller closed, because closing is not a barrier. A driver that is dropped drains
//! itself.

mod choose;
mod direct;
mod doctor;
mod notifier;
#[cfg(miri)]
mod null;
mod poll;
mod speculative;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(target_os = "linux")]
mod uring;

use std::io;
use std::time::Duration;

use crate::op::{Completion, Op, Outcome, Submitted, Token};
use poll::Poll;
use speculative::Speculation;

pub use choose::PortChoice;
pub(crate) use choose::PortConfig;
pub use doctor::{Finding, Report, report};
pub use notifier::Notifier;

/// One backend, chosen at run time.
pub(crate) enum Driver {
    #[cfg(target_os = "linux")]
    Uring(Box<uring::Uring>),
    Poll(Box<Poll>),
    #[cfg(miri)]
    Null(Box<null::Null>),
}

impl Driver {
    /// Opens the best backend that `config` and this machine allow.
    ///
    /// # Errors
    /// `InvalidInput` if the environment names no backend; the reason why a backend that was chosen
    /// by name is refused; the system's own.
    pub(crate) fn open(config: &PortConfig) -> io::Result<Driver> {
        #[cfg(miri)]
        if config.choice == PortChoice::Auto {
            return Ok(Driver::Null(Box::default()));
        }
        let choice = match config.choice {
            PortChoice::Auto => choose::from_environment()?,
            chosen => chosen,
        };
        #[cfg(target_os = "linux")]
        if choice != PortChoice::Poll {
            match uring::Uring::open(config) {
                Ok(uring) => return Ok(Driver::Uring(Box::new(uring))),
                Err(refusal) => choose::explain_refusal(choice, &refusal)?,
            }
        }
        #[cfg(not(target_os = "linux"))]
        if choice == PortChoice::Uring {
            choose::explain_refusal(choice, &io::ErrorKind::Unsupported.into())?;
        }
        Ok(Driver::Poll(Box::new(Poll::open()?)))
    }

    /// Returns the backend's name: `"uring"` or `"poll"`, as `OVERLAPPED_PORT` spells it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(_) => "uring",
            Driver::Poll(_) => "poll",
            #[cfg(miri)]
            Driver::Null(_) => "null",
        }
    }

    /// Tells whether the kernel performs `op` in the background if it has to wait for a disk. If
    /// not, the calling thread waits for the disk.
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
    pub(crate) fn waits_for_disks(&self, op: &Op) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.does(op),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Null(_) => true,
        }
    }

    /// Starts `op`.
    ///
    /// # Safety
    /// The descriptor in `op` stays open, every pointer in it stays valid for the operation's reads
    /// and writes, and no other code accesses that memory, until this returns `Done` or the
    /// completion for `token` has come out of [`Driver::wait`]. `token` is not in flight already.
    #[inline]
    pub(crate) unsafe fn submit(&mut self, token: Token, op: &Op) -> Submitted {
        match self {
            #[cfg(target_os = "linux")]
            // SAFETY: the caller's promise is exactly the backend's.
            Driver::Uring(uring) => unsafe { uring.submit(token, op) },
            // SAFETY: as above.
            Driver::Poll(poll) => unsafe { poll.submit(token, op) },
            #[cfg(miri)]
            Driver::Null(null) => null.submit(token),
        }
    }

    /// Tells whether one try of `op`, which is not to wait (`nonblocking`), can go with others in
    /// one batch: [`submit_try`](Driver::submit_try).
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
    pub(crate) fn batches_tries(&self, op: &Op) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.has(op),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Null(_) => false,
        }
    }

    /// Starts one try of `op`, with the next batch. It completes at once: with *would block* if it
    /// would have to wait.
    ///
    /// # Safety
    /// The same as for [`submit`](Driver::submit).
    pub(crate) unsafe fn submit_try(&mut self, token: Token, op: &Op) -> Submitted {
        match self {
            #[cfg(target_os = "linux")]
            // SAFETY: the caller's promise is exactly the backend's.
            Driver::Uring(uring) => unsafe { uring.start(token, op) },
            // SAFETY: as above.
            Driver::Poll(poll) => unsafe { poll.submit(token, op) },
            #[cfg(miri)]
            Driver::Null(null) => null.submit(token),
        }
    }

    /// Tries `op` once, on the calling thread, without waiting; *would block* if it would wait.
    ///
    /// # Safety
    /// The same as for [`try_now`].
    pub(crate) unsafe fn try_now(&self, op: &Op) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { try_now(op) }
    }

    /// Returns the outcome of a socket's transfer that was cancelled at its own limit: the bytes
    /// that have come by then; `None` if none have, or if `op` is no such transfer.
    ///
    /// # Safety
    /// The same as for [`try_now`].
    #[cold]
    pub(crate) unsafe fn try_at_limit(&self, op: &Op) -> Option<Outcome> {
        // SAFETY: the caller's promise.
        unsafe { direct::try_at_limit(op) }
    }

    /// Tells whether a receive is worth a try before it is submitted (see `speculative`). The
    /// caller reports the try by [`record_speculation`](Driver::record_speculation).
    #[inline]
    pub(crate) fn speculates(&mut self) -> bool {
        self.speculation().is_none_or(Speculation::is_worthwhile)
    }

    /// Records whether a receive that was tried before its submission found something.
    #[inline]
    pub(crate) fn record_speculation(&mut self, found: bool) {
        if let Some(speculation) = self.speculation() {
            speculation.record(found);
        }
    }

    fn speculation(&mut self) -> Option<&mut Speculation> {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => Some(uring.speculation()),
            Driver::Poll(poll) => Some(poll.speculation()),
            #[cfg(miri)]
            Driver::Null(_) => None,
        }
    }

    /// Cancels `token`. The request is never lost and decides nothing: the completion says what
    /// happened.
    pub(crate) fn cancel(&mut self, token: Token) {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.cancel(token),
            Driver::Poll(poll) => poll.cancel(token),
            #[cfg(miri)]
            Driver::Null(null) => null.cancel(token),
        }
    }

    /// Appends the completions. If there are none, waits for at most `timeout` (`None`: until
    /// something happens; zero: not at all). May return early with nothing.
    ///
    /// # Errors
    /// The backend has failed, and the ends of operations cannot be known any more.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.wait(timeout, out),
            Driver::Poll(poll) => poll.wait(timeout, out),
            #[cfg(miri)]
            Driver::Null(null) => {
                null.wait(timeout, out);
                Ok(())
            }
        }
    }

    /// Spins on memory for a moment, for at most `timeout`, if that has lately been worth it (see
    /// `spin`). Returns true as soon as a `wait` has something to do, or `is_called` returns true
    /// because another thread wants this one. (A wait that sleeps spins first, too, but then the
    /// other thread has to notify it, which costs a system call.)
    #[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
    #[inline]
    pub(crate) fn spin(&mut self, timeout: Option<Duration>, is_called: impl Fn() -> bool) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.spin(timeout, is_called),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Null(_) => false,
        }
    }

    /// Tells whether a `wait(ZERO)` is likely to find something or has something to submit. One or
    /// two loads, no system call.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.has_work(),
            Driver::Poll(poll) => poll.has_work(),
            #[cfg(miri)]
            Driver::Null(null) => null.has_work(),
        }
    }

    /// Makes a handle that ends a `wait` early, from any thread.
    pub(crate) fn notifier(&self) -> Notifier {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => Notifier::from_event(uring.event()),
            Driver::Poll(poll) => Notifier::from_poller(poll.poller()),
            #[cfg(miri)]
            Driver::Null(null) => Notifier::from_wake(null.wake()),
        }
    }

    /// Cancels everything and appends every completion that is still due. Takes as long as the
    /// slowest operation that cannot be cancelled. Nothing may be submitted afterwards.
    ///
    /// A driver that is dropped drains itself, but then no code reads the completions: a descriptor
    /// accepted at the last moment would stay open. So an owner with operations in flight calls
    /// this and reads them.
    pub(crate) fn drain(&mut self, out: &mut Vec<Completion>) {
        match self {
            #[cfg(target_os = "linux")]
            Driver::Uring(uring) => uring.drain(out),
            Driver::Poll(poll) => poll.drain(out),
            #[cfg(miri)]
            Driver::Null(null) => null.drain(out),
        }
    }
}

/// Tries `op` once, on the calling thread, without waiting; *would block* if it would wait. For
/// threads without a driver; with one, use [`Driver::try_now`].
///
/// # Safety
/// The descriptor in `op` is open, and every pointer in it is valid for what the operation does.
pub(crate) unsafe fn try_now(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { direct::try_now(op) }
}

/// Performs `op` to its end, blocking the thread, for callers that are no tasklets. Returns *at
/// the limit*, as std's sockets do, if the time `limit` (on the port's clock) comes first, and
/// *would block* if `op` is not to wait.
///
/// # Safety
/// The same as for [`try_now`].
pub(crate) unsafe fn block_on(op: &Op, limit: Option<u64>) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { direct::block_on(op, limit) }
}

/// Blocks the thread until one of `ops` need not wait any more (true), or the time `limit` has come
/// (false).
///
/// # Errors
/// The system's own, for a descriptor that is not open.
pub(crate) fn block_on_any(ops: &[Op], limit: Option<u64>) -> io::Result<bool> {
    direct::block_on_any(ops, limit)
}
