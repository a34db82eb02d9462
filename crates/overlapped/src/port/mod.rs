//! The completion port: a tiny front that chooses a backend and dispatches to it.
//!
//! ```text
//! task, sched ──▶ Driver ──▶ uring | poll          (private: borrowed memory, `Op`)
//! user        ──▶ Port   ──▶ Driver                (public: owned memory, `Request`)
//! net, time   ──▶ control, clock                   (calls that never wait, and the time)
//! ```
//!
//! A driver starts operations, is asked to cancel them, and hands out completions when waited on.
//! It runs no user code. For every submitted token exactly one completion comes out, unless
//! `submit` itself says [`Submitted::Done`]. A cancel decides nothing: the completion does.

use std::io;
use std::time::Duration;

use crate::op::{Completion, Op, Outcome, Token};

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
}

impl Driver {
    /// Opens the best backend that `config` and this machine allow.
    pub(crate) fn open(config: &PortConfig) -> io::Result<Driver>;

    /// Starts `op`.
    ///
    /// # Safety
    /// Until this returns `Done`, or the completion for `token` has come out of [`Driver::wait`]:
    /// the descriptor in `op` stays open, and every pointer in it stays valid for what the
    /// operation does with it (reads, writes) and is not accessed by anybody else. `token` is not
    /// in flight already.
    pub(crate) unsafe fn submit(&mut self, token: Token, op: &Op) -> Submitted;

    /// Asks to end `token` early. Never lost, never decides: the completion says what happened.
    pub(crate) fn cancel(&mut self, token: Token);

    /// Appends what has completed, waiting for at most `timeout` (`None`: until something
    /// happens; zero: not at all) where nothing has. May return early with nothing.
    pub(crate) fn wait(&mut self, timeout: Option<Duration>, out: &mut Vec<Completion>) -> io::Result<()>;

    /// Whether a `wait(ZERO)` is likely to find something or has something to submit. One or two
    /// loads, no system call.
    pub(crate) fn has_work(&self) -> bool;

    /// A handle that ends a `wait` early, from any thread.
    pub(crate) fn notifier(&self) -> Notifier;
}
