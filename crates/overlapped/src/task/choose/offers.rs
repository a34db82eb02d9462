//! What may happen besides channels: a tasklet's end, a descriptor's readiness, a time.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};

use super::Offer;
use crate::driver::Driver;
use crate::op::{Full, Op};
use crate::sched::{Alternative, Choice, Here, NEVER, Place, Tcb, TcbPtr, release, retain};
use crate::sys::readiness::Interest;
use crate::task::Tasklet;
use crate::task::begin::{Submission, submit_operation};
use crate::task::refusal::too_many;
use crate::task::wait::try_now;

/// A point in time.
pub(crate) struct Timer {
    alternative: Alternative,
    due: u64,
}

impl Timer {
    /// `due`: on the port's clock.
    pub(crate) fn new(due: u64) -> Timer {
        // The end of time is still a time that somebody waits for.
        Timer { alternative: Alternative::new(), due: due.min(NEVER - 1) }
    }
}

impl Offer for Timer {
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
    /// With a reference of its own.
    target: Option<TcbPtr>,
}

impl Joining {
    /// Of this tasklet, or of none.
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
            // SAFETY: the reference taken in `new`, for the last time.
            unsafe { release(target) };
        }
    }
}

impl Offer for Joining {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_active(&self) -> bool {
        self.target.is_some()
    }

    fn is_ready(&self, _: u64) -> bool {
        self.block().is_none_or(Tcb::is_over)
    }

    fn sit(&self, here: Here, _: &Choice) -> bool {
        if let (Some(target), Some(block)) = (self.target, self.block()) {
            here.assert_ours(block);
            block.joiner.set(Some(self.alternative.as_seat()));
            self.alternative.place.set(Place::Join(target));
        }
        false
    }
}

/// A descriptor's readiness.
pub(crate) struct Readiness<D> {
    alternative: Alternative,
    fd: RawFd,
    interest: Interest,
    /// It could not even be asked for.
    refused: Cell<bool>,
    /// What `fd` was borrowed from. Never touched until it is dropped, so it keeps `fd` open: a
    /// type that lends its descriptor through a shared reference cannot tell whether the loan is
    /// over before somebody has it mutably or drops it.
    _lender: D,
}

impl<D: AsFd> Readiness<D> {
    /// Asks `lender` once, here: that is the user's code, which may wait, as nothing may while a
    /// select takes its places.
    pub(crate) fn new(lender: D, interest: Interest) -> Readiness<D> {
        Readiness {
            alternative: Alternative::new(),
            fd: lender.as_fd().as_raw_fd(),
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

    /// What came of it, once it has happened.
    pub(crate) fn result(&self) -> io::Result<()> {
        if self.refused.get() {
            return Err(too_many());
        }
        self.alternative.outcome.get().result().map(drop)
    }
}

impl<D> Offer for Readiness<D> {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_ready(&self, _: u64) -> bool {
        // SAFETY: the lender keeps the descriptor open; no memory is involved.
        let outcome = unsafe { try_now(&self.op()) };
        self.alternative.outcome.set(outcome);
        !outcome.would_block()
    }

    fn sit(&self, here: Here, choice: &Choice) -> bool {
        let op = self.op();
        let seat = self.alternative.as_seat();
        // SAFETY: the lender keeps the descriptor open, and it is borrowed for longer than `choose`
        // runs, which returns after the operation's completion; no memory is involved. The seat is
        // the alternative's, which stays as long.
        match unsafe { submit_operation(here, seat, &op, Driver::submit) } {
            Ok(Submission::Pending(token)) => {
                choice.in_flight.set(choice.in_flight.get() + 1);
                self.alternative.place.set(Place::Op { token, name: op.name(), fd: self.fd });
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
