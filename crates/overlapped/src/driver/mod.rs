//! The completion port: a tiny front that chooses a backend and dispatches to it.
//!
//! ```text
//! task, sched ──▶ Driver ──▶ uring | poll          (private: borrowed memory, `Op`)
//! user        ──▶ Port   ──▶ Driver                (public: owned memory, `Request`)
//! net, time   ──▶ control, clock                   (calls that never wait, and the time)
//! sched       ──▶ watch                            (who holds its thread for too long)
//! process …   ──▶ host                             (children and signals)
//! fs          ──▶ disk                             (what no port does with files)
//! ```
//!
//! A driver starts operations, is asked to cancel them, and hands out completions when waited on.
//! It runs no user code. For every submitted token exactly one completion comes out, unless
//! `submit` itself says `Submitted::Done`. A cancel decides nothing: the completion does.
//!
//! Shutdown: `Driver::drain` cancels everything and reaps every completion; only then is the
//! ring or the poller closed, because closing is not a barrier. Dropping a driver drains it.

mod choose;
mod direct;
mod doctor;
#[cfg(target_os = "linux")]
mod event;
mod notifier;
#[cfg(miri)]
mod null;
mod poll;
mod speculative;
#[cfg(test)]
pub(crate) mod tests;
#[cfg(target_os = "linux")]
mod uring;
#[cfg(not(target_os = "linux"))]
#[path = "no_uring.rs"]
mod uring;

use std::io;
use std::time::Duration;

use crate::op::{Completion, Op, Outcome, Token};
use speculative::Eager;

pub use choose::PortChoice;
pub(crate) use choose::PortConfig;
pub use doctor::{Finding, Report, report};
pub use notifier::Notifier;

/// What came of a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Submitted {
    /// The completion will come out of [`Driver::wait`].
    Pending,
    /// It ended at once; no completion will come.
    Done(Outcome),
}

/// One backend, chosen at run time.
pub(crate) enum Driver {
    Uring(Box<uring::Uring>),
    Poll(Box<poll::Poll>),
    #[cfg(miri)]
    Still(Box<null::Null>),
}

impl Driver {
    /// Opens the best backend that `config` and this machine allow.
    pub(crate) fn open(config: &PortConfig) -> io::Result<Driver> {
        choose::open(config)
    }

    /// The backend's name: `"uring"` or `"poll"`, as `OVERLAPPED_PORT` spells it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Driver::Uring(_) => "uring",
            Driver::Poll(_) => "poll",
            #[cfg(miri)]
            Driver::Still(_) => "still",
        }
    }

    /// Whether the kernel does `op` meanwhile, where it has to wait for a disk. If not, the calling
    /// thread waits for the disk.
    pub(crate) fn waits_for_disks(&self, op: &Op) -> bool {
        match self {
            Driver::Uring(uring) => uring.does(op),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Still(_) => true,
        }
    }

    /// Starts `op`.
    ///
    /// # Safety
    /// Until this returns `Done`, or the completion for `token` has come out of [`Driver::wait`]:
    /// the descriptor in `op` stays open, and every pointer in it stays valid for what the
    /// operation does with it (reads, writes) and is not accessed by anybody else. `token` is not
    /// in flight already.
    #[inline]
    pub(crate) unsafe fn submit(&mut self, token: Token, op: &Op) -> Submitted {
        match self {
            // SAFETY: the caller's promise is exactly the backend's.
            Driver::Uring(uring) => unsafe { uring.submit(token, op) },
            // SAFETY: as above.
            Driver::Poll(poll) => unsafe { poll.submit(token, op) },
            #[cfg(miri)]
            Driver::Still(still) => still.submit(token),
        }
    }

    /// Tells whether one try of `op`, which is not to wait (`nonblocking`), can go with others in
    /// one batch: [`submit_try`](Driver::submit_try).
    pub(crate) fn batches_tries(&self, op: &Op) -> bool {
        match self {
            Driver::Uring(uring) => uring.has(op),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Still(_) => false,
        }
    }

    /// Starts one try of `op`, with the next batch. It completes at once: with `-EAGAIN` where it
    /// would have to wait.
    ///
    /// # Safety
    /// As for [`submit`](Driver::submit).
    pub(crate) unsafe fn submit_try(&mut self, token: Token, op: &Op) -> Submitted {
        match self {
            // SAFETY: the caller's promise is exactly the backend's.
            Driver::Uring(uring) => unsafe { uring.start(token, op) },
            // SAFETY: as above.
            _ => unsafe { self.submit(token, op) },
        }
    }

    /// Tells whether a receive is worth a try before it is submitted: `adaptive::eager`. Whoever
    /// makes the try tells what came of it ([`tried`](Driver::tried)).
    #[inline]
    pub(crate) fn wants_try(&mut self) -> bool {
        self.eager().is_none_or(Eager::is_wanted)
    }

    /// Takes note of a receive that was tried before it was submitted.
    #[inline]
    pub(crate) fn tried(&mut self, found: bool) {
        if let Some(eager) = self.eager() {
            eager.tried(found);
        }
    }

    fn eager(&mut self) -> Option<&mut Eager> {
        match self {
            Driver::Uring(uring) => Some(uring.eager()),
            Driver::Poll(poll) => Some(poll.eager()),
            #[cfg(miri)]
            Driver::Still(_) => None,
        }
    }

    /// Tries `op` once, on the calling thread, without waiting; *would block* where it would wait.
    ///
    /// # Safety
    /// As for [`try_now`].
    pub(crate) unsafe fn try_now(&self, op: &Op) -> Outcome {
        // SAFETY: the caller's promise.
        unsafe { try_now(op) }
    }

    /// Gives the outcome of a socket's transfer that was cancelled at its own limit: what has come
    /// by then; `None` where there is nothing, or where `op` is no such transfer.
    ///
    /// # Safety
    /// As for [`try_now`].
    #[cold]
    pub(crate) unsafe fn try_at_limit(&self, op: &Op) -> Option<Outcome> {
        // SAFETY: the caller's promise.
        unsafe { direct::try_at_limit(op) }
    }

    /// Asks to end `token` early. Never lost, never decides: the completion says what happened.
    pub(crate) fn cancel(&mut self, token: Token) {
        match self {
            Driver::Uring(uring) => uring.cancel(token),
            Driver::Poll(poll) => poll.cancel(token),
            #[cfg(miri)]
            Driver::Still(still) => still.cancel(token),
        }
    }

    /// Appends what has completed, waiting for at most `timeout` (`None`: until something
    /// happens; zero: not at all) where nothing has. May return early with nothing.
    pub(crate) fn wait(
        &mut self,
        timeout: Option<Duration>,
        out: &mut Vec<Completion>,
    ) -> io::Result<()> {
        match self {
            Driver::Uring(uring) => uring.wait(timeout, out),
            Driver::Poll(poll) => poll.wait(timeout, out),
            #[cfg(miri)]
            Driver::Still(still) => {
                still.wait(timeout, out);
                Ok(())
            }
        }
    }

    /// Looks at memory for a moment, for at most `timeout`, if that has lately been worth it (see
    /// `spin`): true as soon as a `wait` has something to do, or `called` says that somebody else
    /// has. A wait that sleeps does the same by itself, but whoever calls it must ring for that.
    #[inline]
    pub(crate) fn watch(&mut self, timeout: Option<Duration>, called: impl Fn() -> bool) -> bool {
        match self {
            Driver::Uring(uring) => uring.watch(timeout, called),
            Driver::Poll(_) => false,
            #[cfg(miri)]
            Driver::Still(_) => false,
        }
    }

    /// Whether a `wait(ZERO)` is likely to find something or has something to submit. One or two
    /// loads, no system call.
    #[inline]
    pub(crate) fn has_work(&self) -> bool {
        match self {
            Driver::Uring(uring) => uring.has_work(),
            Driver::Poll(poll) => poll.has_work(),
            #[cfg(miri)]
            Driver::Still(still) => still.has_work(),
        }
    }

    /// A handle that ends a `wait` early, from any thread.
    pub(crate) fn notifier(&self) -> Notifier {
        match self {
            Driver::Uring(uring) => uring.notifier(),
            Driver::Poll(poll) => poll.notifier(),
            #[cfg(miri)]
            Driver::Still(still) => Notifier::of_bell(still.bell()),
        }
    }

    /// Cancels everything and appends every completion that is still due. Takes as long as the
    /// slowest operation that cannot be cancelled. Nothing may be submitted afterwards.
    ///
    /// A driver that is dropped drains itself, but then nobody looks at the completions: a
    /// descriptor accepted at the last moment would stay open. So whoever has operations in
    /// flight calls this and looks.
    pub(crate) fn drain(&mut self, out: &mut Vec<Completion>) {
        match self {
            Driver::Uring(uring) => uring.drain(out),
            Driver::Poll(poll) => poll.drain(out),
            #[cfg(miri)]
            Driver::Still(still) => still.drain(out),
        }
    }
}

/// Tries `op` once, on the calling thread, without waiting; *would block* where it would wait.
/// For threads without a driver; with one, [`Driver::try_now`].
///
/// # Safety
/// The descriptor in `op` is open, and every pointer in it is valid for what the operation does.
pub(crate) unsafe fn try_now(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { direct::try_now(op) }
}

/// Performs `op` to its end, blocking the thread, for callers that are no tasklets; *would block*
/// where the time `limit` (on the port's clock) comes first, as std's sockets say it, and where
/// `op` is not to wait.
///
/// # Safety
/// As for [`try_now`].
pub(crate) unsafe fn block_on(op: &Op, limit: Option<u64>) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe { direct::block_on(op, limit) }
}

/// Blocks the thread until one of `ops` need not wait any more (true), or the time `limit` has come
/// (false).
///
/// # Errors
/// The system's own; for a descriptor that is not open.
pub(crate) fn block_on_any(ops: &[Op], limit: Option<u64>) -> io::Result<bool> {
    direct::block_on_any(ops, limit)
}
