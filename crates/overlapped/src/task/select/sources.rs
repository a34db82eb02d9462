//! The sources of a select besides channels: a tasklet's end, a descriptor's readiness, a time.

use std::cell::Cell;
use std::io;
use std::ptr::NonNull;

use super::SelectSource;
use crate::driver::Driver;
use crate::op::{Full, Op};
use crate::sched::{
    Alternative, Here, NEVER, Registration, SelectState, Tcb, TcbPtr, release, retain,
};
use crate::sys::descriptor::Raw;
use crate::sys::readiness::Interest;
use crate::sys::socket::{AsSocket, raw_of};
use crate::task::Tasklet;
use crate::task::begin::{Submission, submit_operation};
use crate::task::suspension::too_many;
use crate::task::wait::try_now;

/// A point in time.
pub(crate) struct Timer {
    alternative: Alternative,
    due: u64,
}

impl Timer {
    /// Makes a source that is due at this time, on the port's clock.
    pub(crate) fn new(due: u64) -> Timer {
        // `NEVER` means no deadline, but the clock's maximum is a deadline.
        Timer { alternative: Alternative::new(), due: due.min(NEVER - 1) }
    }
}

impl SelectSource for Timer {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_ready(&self, now: u64) -> bool {
        self.due <= now
    }

    fn due(&self) -> u64 {
        self.due
    }
}

/// A tasklet's end.
pub(crate) struct Joining {
    alternative: Alternative,
    /// Holds a reference of its own.
    target: Option<TcbPtr>,
}

impl Joining {
    /// Makes a source for the end of `handle`'s tasklet. With `None` it takes no part.
    pub(crate) fn new<T>(handle: Option<&Tasklet<T>>) -> Joining {
        let target = handle.map(Tasklet::tcb);
        target.into_iter().for_each(retain);
        Joining { alternative: Alternative::new(), target }
    }

    fn block(&self) -> Option<&Tcb> {
        // SAFETY: the reference taken in `new` keeps the block there.
        self.target.map(|target| unsafe { target.as_ref() })
    }
}

impl Drop for Joining {
    fn drop(&mut self) {
        if let Some(target) = self.target {
            // SAFETY: this is the reference taken in `new`, given back once.
            unsafe { release(target) };
        }
    }
}

impl SelectSource for Joining {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_active(&self) -> bool {
        self.target.is_some()
    }

    fn is_ready(&self, _: u64) -> bool {
        self.block().is_none_or(Tcb::is_over)
    }

    fn register(&self, here: Here, _: &SelectState) -> bool {
        if let Some(block) = self.block() {
            here.assert_ours(block);
            block.joiner.set(Some(self.alternative.as_node()));
            let joiner = NonNull::from(&block.joiner);
            self.alternative.registration.set(Registration::Join { joiner, id: block.id });
        }
        false
    }
}

/// A descriptor's readiness.
pub(crate) struct Readiness<D> {
    alternative: Alternative,
    fd: Raw,
    interest: Interest,
    /// Set if there was no room for the operation.
    refused: Cell<bool>,
    /// The value from which `fd` was borrowed. Any type that lends a descriptor keeps it open until
    /// the value is borrowed mutably or dropped, and this source only drops it.
    _lender: D,
}

impl<D: AsSocket> Readiness<D> {
    /// Makes a source. Asks `lender` once, here: that is the user's code, which may wait, and
    /// nothing may wait while a select registers its sources.
    pub(crate) fn new(lender: D, interest: Interest) -> Readiness<D> {
        Readiness {
            alternative: Alternative::new(),
            fd: raw_of(lender.as_socket()),
            interest,
            refused: Cell::new(false),
            _lender: lender,
        }
    }
}

impl<D> Readiness<D> {
    fn op(&self) -> Op {
        Op::ready(self.fd, self.interest)
    }

    /// Returns the result of the wait, after the select has ended with this source.
    pub(crate) fn result(&self) -> io::Result<()> {
        if self.refused.get() {
            return Err(too_many());
        }
        self.alternative.outcome.get().result().map(drop)
    }
}

impl<D> SelectSource for Readiness<D> {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_ready(&self, _: u64) -> bool {
        // SAFETY: the lender keeps the descriptor open; no memory is involved.
        let outcome = unsafe { try_now(&self.op()) };
        self.alternative.outcome.set(outcome);
        !outcome.would_block()
    }

    fn register(&self, here: Here, select: &SelectState) -> bool {
        let op = self.op();
        let node = self.alternative.as_node();
        // SAFETY: the lender keeps the descriptor open, and it is borrowed for longer than `select`
        // runs, which returns after the operation's completion; no memory is involved. The node is
        // the alternative's, which stays as long.
        match unsafe { submit_operation(here, node, &op, Driver::submit) } {
            Ok(Submission::Pending(token)) => {
                select.in_flight.set(select.in_flight.get() + 1);
                self.alternative.registration.set(Registration::Op {
                    token,
                    name: op.name(),
                    fd: self.fd,
                });
                false
            }
            Ok(Submission::Done(outcome)) => {
                self.alternative.outcome.set(outcome);
                true
            }
            Err(Full) => {
                self.refused.set(true);
                true
            }
        }
    }

    fn operation(&self) -> Option<Op> {
        Some(self.op())
    }
}
