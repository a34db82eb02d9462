//! The wait for an operation.
//!
//! ```text
//! perform(op)       begin_operation, submit_and_park, and what the outcome means for the caller
//! submit_and_park   submit, park until the terminal completion, read the outcome
//! ```
//!
//! Terminal completion first: there is no way out between `submit` and the completion. A kill or a
//! deadline that comes meanwhile makes the scheduler cancel the operation, and *the outcome*
//! decides what the caller gets: a result is a result, and the kill stays pending for the next
//! call.

use std::io;

use super::begin::{Begin, INLINE_MAX, Submission, begin_operation, in_turn, submit_operation};
use super::suspension::{
    deliver_kill, interrupted, is_cancelled, killed, park, timed_out, too_many, yield_turn,
};
use crate::driver::{self, Driver};
use crate::op::{Full, Op, Outcome, Submitted, Token};
use crate::sched::{AbortOnUnwind, Here, NEVER, Waiting, Wake, here, node_of};
use crate::sys::errno::says_would_block;

/// Performs `op`, blocking the calling tasklet only; outside a scheduler, the thread. `limit` is
/// the call's own limit (a read timeout), on the port's clock. A call that reaches it fails with
/// `WouldBlock`, as in std.
///
/// # Safety
/// Until this returns, the descriptor in `op` stays open, and every pointer in it is valid for what
/// the operation does with it and used by no other code.
pub(crate) unsafe fn perform(op: &Op, limit: Option<u64>) -> io::Result<usize> {
    let Some(here) = here() else {
        // SAFETY: the caller's promise.
        return unsafe { driver::block_on(op, limit) }.result();
    };
    let limit = limit.unwrap_or(NEVER);
    let until = match begin_operation(here, limit, true)? {
        Begin::MayWait(until) => until,
        Begin::TryOnce(why) => {
            // SAFETY: the caller's promise.
            let result = unsafe { here.driver().borrow().try_now(op) }.result();
            return result.map_err(|error| match why {
                Some(reason) => reason.explain(error),
                None if says_would_block(&error) => timed_out(false),
                None => error,
            });
        }
    };
    // An experiment, and false in every usual build.
    if pays_to_try(here, op) {
        // SAFETY: the caller's promise.
        let outcome = in_turn(here, || unsafe { here.driver().borrow().try_now(op) });
        if !outcome.would_block() {
            return outcome.result();
        }
    }
    // SAFETY: the caller's promise; `submit_and_park` returns after the completion.
    let outcome = unsafe { submit_and_park(here, op, until, Driver::submit) }?;
    if here.me().cancel_requested.get() && outcome.is_cancelled() {
        // SAFETY: the caller's promise.
        return unsafe { cancelled(here, op, limit) };
    }
    outcome.result()
}

/// Tells whether `op` is to be tried before it is submitted. This is an experiment
/// (`--cfg overlapped_try_first`): it tries a transfer on a socket that would be alone in its
/// batch, because no other tasklet is ready to run and nothing is queued. With many connections
/// tries break the ring's batches up (docs/decisions/0033).
#[inline(always)]
fn pays_to_try(here: Here, op: &Op) -> bool {
    cfg!(overlapped_try_first)
        && op.is_transfer()
        && here.ready_count() == 0
        && !here.driver().borrow().has_work()
}

/// Ends an operation that the scheduler cancelled before it had done anything: delivers the kill,
/// or returns the error for what came first.
///
/// # Safety
/// The same as for [`perform`].
#[cold]
unsafe fn cancelled(here: Here, op: &Op, limit: u64) -> io::Result<usize> {
    deliver_kill(here);
    if is_cancelled(here) {
        return Err(killed());
    }
    let me = here.me();
    if me.interrupted.take() {
        return Err(interrupted());
    }
    if me.deadline.get() <= limit {
        return Err(timed_out(true));
    }
    // SAFETY: the caller's promise.
    match unsafe { here.driver().borrow().try_at_limit(op) } {
        Some(outcome) => outcome.result(),
        None => Err(timed_out(false)),
    }
}

/// Performs `op` if it need not wait, for sockets in non-blocking mode. Never suspends.
///
/// # Safety
/// The same as for [`perform`].
pub(crate) unsafe fn perform_now(op: &Op) -> io::Result<usize> {
    // SAFETY: the caller's promise.
    unsafe { try_now(op) }.result()
}

/// Tries `op` once, without waiting.
///
/// # Safety
/// The same as for [`perform`].
pub(crate) unsafe fn try_now(op: &Op) -> Outcome {
    // SAFETY: the caller's promise.
    unsafe {
        match here() {
            Some(here) => here.driver().borrow().try_now(op),
            None => driver::try_now(op),
        }
    }
}

/// Submits one operation and parks until its terminal completion. The only exits are: not
/// submitted, done at once, or completed.
///
/// # Safety
/// The same as for [`perform`].
pub(super) unsafe fn submit_and_park(
    here: Here,
    op: &Op,
    until: u64,
    submit: unsafe fn(&mut Driver, Token, &Op) -> Submitted,
) -> io::Result<Outcome> {
    let me = here.me();
    me.cancel_requested.set(false);
    let no_way_out = AbortOnUnwind("while the kernel holds a tasklet's memory");
    // SAFETY: the caller keeps everything valid until this returns, which it does after the
    // completion or where there will be none; it cannot unwind in between.
    let submitted = unsafe { submit_operation(here, node_of(here.me_ptr()), op, submit) };
    let outcome = match submitted {
        Ok(Submission::Pending(token)) => {
            let wake = park(here, Waiting::Op { token, name: op.name(), fd: op.fd() }, until);
            // Soundness rests on it: only the completion wakes a tasklet that waits for an
            // operation.
            assert_eq!(wake, Wake::Done, "an operation's wait ends with its completion");
            Ok(me.outcome.get())
        }
        Ok(Submission::Done(outcome)) => {
            if here.operation_count().is_multiple_of(INLINE_MAX) {
                yield_turn(here);
            }
            Ok(outcome)
        }
        Err(Full) => Err(too_many()),
    };
    std::mem::forget(no_way_out);
    outcome
}
