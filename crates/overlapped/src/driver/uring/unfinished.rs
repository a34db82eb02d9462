//! Operations that the ring leaves unfinished: those that it only polls for, and those that the
//! kernel has abandoned.
//!
//! ```text
//! polled:    try ── would wait ──▶ poll in the ring ── ready ──▶ try again ──▶ out
//!                                     ▲                              │ would wait
//!                                     └──────────────────────────────┘
//! abandoned: EINTR, ERESTARTSYS, ECANCELED, EAGAIN ── not cancelled ────────────▶ started again
//!                                                  └─ cancelled ──▶ out: ECANCELED
//! ```
//!
//! The kernel tries an operation again at each of up to 128 wakes, and then a last time on one of
//! its worker threads. There some operations obey `O_NONBLOCK` and fail with `EAGAIN`, and a signal
//! can interrupt the worker. Neither ends the operation, so callers never see it.
//!
//! A cancelled operation ends with the result of its completion. The result says "cancelled" only
//! if the operation has done nothing. It is never started again: a cancel that comes between two
//! polls would be lost.

use super::{Uring, prepare};
use crate::driver::direct;
use crate::op::{Completion, Op, Outcome, Submitted, Token};
use crate::sys::errno;

impl Uring {
    /// Starts operations that the ring does not do by itself: [`Op::Wait`], whose result is not the
    /// kernel's, and operations whose opcode is missing.
    ///
    /// # Safety
    /// The same as for [`Driver::submit`](crate::driver::Driver::submit).
    #[cold]
    pub(super) unsafe fn submit_polled(&mut self, token: Token, op: &Op) -> Submitted {
        if !matches!(op, Op::Wait(_)) {
            // SAFETY: the caller's promise.
            let outcome = unsafe { direct::first_try(op) };
            if !direct::is_unfinished(op, outcome) {
                return Submitted::Done(outcome);
            }
        }
        assert!(self.polled.insert(token), "{token:?} is in flight already");
        self.remember(token, op);
        self.in_flight += 1;
        self.push_poll(token);
        Submitted::Pending
    }

    /// Returns the operation of a completion that has not been handed out.
    fn op(&self, token: Token) -> &Op {
        self.find(token).expect("a completion names an operation in flight")
    }

    /// Queues a poll for the descriptor of the operation `token`.
    fn push_poll(&mut self, token: Token) {
        let op = self.op(token);
        let entry = prepare::ready(op.fd(), direct::interest(op)).user_data(token.to_bits());
        // SAFETY: a poll uses no memory; the descriptor is open until the token's completion.
        unsafe { self.push(entry) };
    }

    /// Goes through the unfinished completions. Appends those that end their operation after all;
    /// starts the other operations again, or polls for them again.
    #[cold]
    pub(super) fn finish_or_go_on(&mut self, out: &mut Vec<Completion>) {
        let mut unfinished = std::mem::take(&mut self.unfinished);
        for (token, outcome) in unfinished.drain(..) {
            let is_polled = self.polled.contains(&token);
            let end = if is_polled {
                self.end_of_poll(token, outcome)
            } else {
                self.end_of_abandoned(token, outcome)
            };
            let is_cancelled = self.closing || self.asked.contains(&token);
            let outcome = match end {
                Some(outcome) => outcome,
                None if is_cancelled => Outcome::CANCELLED,
                // A connect that is under way must not be started twice.
                None if is_polled || errno::is_under_way(outcome.raw()) => {
                    self.polled.insert(token);
                    self.push_poll(token);
                    continue;
                }
                None => {
                    // SAFETY: promised at `submit` until the completion, which has not been handed
                    // out.
                    let entry = unsafe { prepare::prepare(self.op(token)) };
                    // SAFETY: the same promise.
                    unsafe { self.push(entry.user_data(token.to_bits())) };
                    continue;
                }
            };
            self.ops[token.slot()] = None;
            self.polled.remove(&token);
            self.asked.remove(&token);
            self.cursors.correct(token, outcome.raw());
            self.in_flight -= 1;
            out.push(Completion { token, outcome });
        }
        self.unfinished = unfinished;
    }

    /// Returns the outcome of an operation whose poll has ended with `polled`. `None`: the
    /// operation would wait, or the poll was cancelled.
    fn end_of_poll(&self, token: Token, polled: Outcome) -> Option<Outcome> {
        if polled.is_cancelled() {
            return None;
        }
        let op = self.op(token);
        if polled.raw() < 0 {
            return Some(polled);
        }
        if matches!(op, Op::Wait(_)) {
            return Some(Outcome::DONE);
        }
        // SAFETY: promised at `submit` until the completion, which has not been handed out.
        let outcome = unsafe { direct::retry(op) };
        (!direct::is_unfinished(op, outcome)).then_some(outcome)
    }

    /// Returns the final outcome of an operation that the ring does by itself. `None`: `outcome`
    /// means that the kernel has given the operation up.
    fn end_of_abandoned(&self, token: Token, outcome: Outcome) -> Option<Outcome> {
        if outcome.is_cancelled() {
            return None;
        }
        let op = self.op(token);
        if !direct::is_unfinished(op, outcome) || direct::is_nonblocking(op) {
            return Some(outcome);
        }
        // SAFETY: promised at `submit` until the completion, which has not been handed out.
        unsafe { direct::end_of_stream(op) }
    }
}
