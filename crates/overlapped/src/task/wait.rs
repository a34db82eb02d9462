//! The suspension point: a tasklet leaves its stack here and nowhere else.
//!
//! ```text
//! perform(op)   an operation: submit, park until its terminal completion, read the outcome
//! park(…)       anything else: a channel, a join, a deadline, a wake from another thread
//! select(…)     the first of several (select/): registers everywhere, then parks
//! yield_turn()  stays ready, lets the others run
//!    └──▶ leave() ──▶ Here::depart ──▶ Sched::leave_stack (sched/run/): the next one in the
//!                     queue, or the hub … ──▶ back in leave()
//! ```
//!
//! Terminal completion first: `perform` has no way out between `submit` and the completion. A kill
//! or a deadline that comes meanwhile makes the scheduler cancel the operation, and *the outcome*
//! decides what the caller gets: a result is a result, and the kill stays pending for the next
//! call.

use std::io;

use super::begin::{Begin, INLINE_MAX, Submission, begin_operation, in_turn, submit_operation};
pub(crate) use super::begin::{
    checkpoint, checkpoint_without_error, deliver_kill, is_cancelled, is_doomed, is_held_by_panic,
};
use super::blocking::pays_to_try;
use super::cannot_wait::{interrupted, killed, timed_out, too_many};
use super::inspect::trace_myself;
use crate::driver::{self, Driver};
use crate::op::{Full, Op, Outcome, Submitted, Token};
use crate::sched::{AbortOnUnwind, Here, NEVER, State, Tcb, Waiting, Wake, here, node_of};
use crate::switch::Suspender;

/// Parks the calling tasklet until it is woken, or until the port's clock shows `until`. The caller
/// has passed the [`checkpoint`], and has linked the tasklet to what wakes it.
#[inline(always)]
pub(crate) fn park(here: Here, waiting: Waiting, until: u64) -> Wake {
    let me = here.me();
    here.begin_wait(me, here.me_ptr(), waiting, until);
    leave(here, me);
    me.wake.get()
}

/// Lets all other ready tasklets run first.
#[inline(always)]
pub(crate) fn yield_turn(here: Here) {
    let me = here.me();
    me.state.set(State::Ready);
    here.push_ready(here.me_ptr());
    leave(here, me);
}

/// Leaves the stack; the caller has recorded in the control block what the tasklet waits for.
/// Returns when the tasklet runs on. If the hub switches here only for a backtrace, makes it, and
/// the wait goes on. errno belongs to the thread, so it is saved here for C code that reads it
/// after a callback that waited.
#[inline(always)]
pub(crate) fn leave(here: Here, me: &Tcb) {
    // SAFETY: the suspender was set when this tasklet's job began on this fiber, and lives on it.
    let suspender = unsafe { &*me.suspender.get() };
    let running = here.me_ptr();
    here.depart(me, suspender);
    if me.state.get() != State::Running {
        answer_visits(here, me, suspender);
    }
    // Set after the switch, so that a fault during it is attributed to the stack on which it
    // happened.
    here.set_running(running);
    here.observe_switch();
}

/// Answers the hub, which has switched here for a backtrace only, perhaps several times.
#[cold]
#[inline(never)]
fn answer_visits(here: Here, me: &Tcb, suspender: &Suspender) {
    while me.state.get() != State::Running {
        trace_myself(me);
        here.await_visit(me, suspender);
    }
}

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

/// Gives the result of an operation that the scheduler cancelled before it had done anything:
/// delivers the kill, or returns the error for what came first.
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
