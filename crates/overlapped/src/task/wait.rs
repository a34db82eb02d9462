//! The suspension point: nowhere else does a tasklet leave its stack.
//!
//! ```text
//! perform(op)   an operation: submit, park until its terminal completion, read the outcome
//! park(…)       anything else: a channel, a join, a deadline, a wake from another thread
//! choose(…)     the first of several (choose/): sits down everywhere, then parks
//! give_way()    stays ready, lets the others run
//!    └──▶ leave() ──▶ the next one in the queue, or the hub … ──▶ back in leave()
//! ```
//!
//! First law: `perform` has no way out between `submit` and the completion. A kill or a deadline
//! that comes meanwhile makes the scheduler cancel the operation, and *the outcome* decides what
//! the caller gets: a result is a result, and the kill stays pending for the next call.

use std::io;

use super::aside::pays_to_try;
pub(crate) use super::checkpoint::{
    checkpoint, checkpoint_without_error, deliver_kill, in_turn, is_cancelled, is_doomed,
    is_held_by_panic,
};
use super::inspect::trace_myself;
use super::refusal::{Refusal, interrupted, killed, timed_out, too_many};
use crate::driver::{Driver, Submitted, direct};
use crate::op::{Full, Op, Outcome, Token};
use crate::sched::{AbortOnUnwind, Here, NEVER, State, Tcb, Waiting, Wake, here, seat_of};
use crate::switch::Suspender;
use crate::sys::clock;

/// The operations that may end at once, one after another, before others get a turn.
pub(super) const INLINE_MAX: u64 = 64;

/// Parks the calling tasklet until somebody wakes it, or until the port's clock shows `until`.
/// The caller has passed the [`checkpoint`] and has linked the tasklet to whoever wakes it.
#[inline(always)]
pub(crate) fn park(here: Here, waiting: Waiting, until: u64) -> Wake {
    let me = here.me();
    me.since.set(here.now.get());
    me.wait_for(waiting);
    me.parked_at.set(here.next_order());
    if until != NEVER {
        me.wait_until.set(until);
        here.timed_waits.set(here.timed_waits.get() + 1);
        here.timers.borrow_mut().arm(here.me_ptr(), until);
    }
    leave(here, me);
    me.wake.get()
}

/// Lets everybody else who is ready run first.
#[inline(always)]
pub(crate) fn give_way(here: Here) {
    let me = here.me();
    me.state.set(State::Ready);
    here.ready.push_back(here.me_ptr());
    leave(here, me);
}

/// Leaves the stack, after the caller has said in its block where it stands. Comes back when it
/// is switched to for good; a visit for a backtrace goes on waiting. errno belongs to the
/// thread, so it is kept here for C code that looks at it after a callback that waited.
#[inline(always)]
pub(crate) fn leave(here: Here, me: &Tcb) {
    // SAFETY: the suspender was set when this tasklet's job began on this fiber, and lives on it.
    let suspender = unsafe { &*me.suspender.get() };
    let running = here.me_ptr();
    here.depart(me, suspender);
    if me.state.get() != State::Running {
        answer_visits(here, me, suspender);
    }
    // Said here, not by whoever handed over: a fault in between is one of that one's stack.
    here.running.set(Some(running));
    here.tell_switched();
}

/// The hub came only for a backtrace, perhaps several times.
#[cold]
#[inline(never)]
fn answer_visits(here: Here, me: &Tcb, suspender: &Suspender) {
    while me.state.get() != State::Running {
        trace_myself(me);
        here.await_visit(me, suspender);
    }
}

/// Performs `op`, blocking the calling tasklet only; outside a scheduler, the thread. `limit`: the
/// call's own limit (a read timeout), on the port's clock; it ends with `WouldBlock`, as std's do.
///
/// # Safety
/// Until this returns, the descriptor in `op` stays open, and every pointer in it is valid for what
/// the operation does with it and used by nobody else.
pub(crate) unsafe fn perform(op: &Op, limit: Option<u64>) -> io::Result<Outcome> {
    let Some(here) = here() else {
        // SAFETY: handed on to the caller.
        let result = finish(unsafe { direct::blocking(op, limit) });
        return result.map_err(|error| match limit {
            Some(limit) if error.kind() == io::ErrorKind::TimedOut && clock::nanos() >= limit => {
                timed_out(false)
            }
            _ => error,
        });
    };
    if let Err(refusal) = checkpoint(here) {
        if refusal == Refusal::Killed {
            return Err(killed());
        }
        // SAFETY: handed on to the caller.
        let outcome = unsafe { direct::attempt(op) };
        return finish(outcome).map_err(|error| refusal.explain(error));
    }
    let me = here.me();
    if me.interrupted.take() {
        return Err(interrupted());
    }
    let limit = limit.unwrap_or(NEVER);
    let until = limit.min(me.deadline.get());
    if until != NEVER && here.read_clock() >= until {
        if me.deadline.get() <= limit {
            return Err(timed_out(true));
        }
        // A socket's own limit bounds the waiting only: what is there is given, as in std.
        // SAFETY: handed on to the caller.
        return finish(unsafe { direct::attempt(op) });
    }
    if pays_to_try(here, op) {
        // SAFETY: handed on to the caller.
        let result = finish(in_turn(here, || unsafe { direct::attempt(op) }));
        if !matches!(&result, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
            return result;
        }
    }
    loop {
        // SAFETY: handed on to the caller; `submit_and_park` returns after the completion.
        let outcome = unsafe { submit_and_park(here, op, until, Driver::submit) }?;
        // SAFETY: handed on to the caller.
        if let Some(outcome) = unsafe { direct::end(op, outcome) } {
            return finish(outcome);
        }
        if me.cut.get() {
            deliver_kill(here);
            if is_cancelled(here) {
                return Err(killed());
            }
            if me.interrupted.take() {
                return Err(interrupted());
            }
            if me.deadline.get() <= limit {
                return Err(timed_out(true));
            }
            // SAFETY: handed on to the caller.
            return unsafe { direct::at_limit(op) }.map_or(Err(timed_out(false)), finish);
        }
        // A signal came between (std retries where the call says so), or others were quicker for
        // so long that the ring has given up.
    }
}

/// Performs `op` if it need not wait, for sockets in non-blocking mode. Never suspends.
///
/// # Safety
/// As for [`perform`].
pub(crate) unsafe fn perform_now(op: &Op) -> io::Result<Outcome> {
    // SAFETY: handed on to the caller.
    finish(unsafe { direct::attempt(op) })
}

/// One submission and its terminal completion. The only exits are: not submitted, done at once, or
/// completed.
///
/// # Safety
/// As for [`perform`].
pub(super) unsafe fn submit_and_park(
    here: Here,
    op: &Op,
    until: u64,
    submit: unsafe fn(&mut Driver, Token, &Op) -> Submitted,
) -> io::Result<Outcome> {
    let me = here.me();
    let token = match here.table.borrow_mut().insert(seat_of(here.me_ptr())) {
        Ok(token) => token,
        Err((Full, _)) => return Err(too_many()),
    };
    me.cut.set(false);
    let operations = here.counters.operations.get() + 1;
    here.counters.operations.set(operations);
    let no_way_out = AbortOnUnwind("while the kernel holds a tasklet's memory");
    // SAFETY: the caller keeps everything valid until this returns, which it does after the
    // completion or where there will be none; it cannot unwind in between.
    let submitted = unsafe { submit(&mut here.driver.borrow_mut(), token, op) };
    let outcome = match submitted {
        Submitted::Done(outcome) => {
            here.table.borrow_mut().remove(token);
            if operations.is_multiple_of(INLINE_MAX) {
                give_way(here);
            }
            outcome
        }
        Submitted::Pending => {
            let wake = park(here, Waiting::Op { token, name: op.name(), fd: op.fd() }, until);
            // Soundness rests on it: nobody but the completion wakes who waits for an operation.
            assert_eq!(wake, Wake::Done, "an operation's wait ends with its completion");
            me.outcome.get()
        }
    };
    std::mem::forget(no_way_out);
    Ok(outcome)
}

/// The outcome as std gives it.
fn finish(outcome: Outcome) -> io::Result<Outcome> {
    if outcome.result < 0 {
        return Err(io::Error::from_raw_os_error(-outcome.result));
    }
    Ok(outcome)
}
