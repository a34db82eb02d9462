//! Tries of transfers that are not to wait: alone by a plain call, in company with others in one
//! batch.
//!
//! A plain call is the quickest where there is nobody else. Where there are many, a call for each
//! costs much more than its own time: the processor enters and leaves the kernel with cold branch
//! predictors. Unmodified code, 1,000 clients, processor time of the server for a round trip, to
//! that with types of the library's own: a call for each send 1.66, in one batch 1.15.

use std::io;

use super::in_place;
use crate::driver::Driver;
use crate::op::{Op, Outcome};
use crate::sched::{Here, NEVER, here};
use crate::task::begin::{Begin, begin_operation};
use crate::task::cannot_wait::killed;
use crate::task::wait::{deliver_kill, is_cancelled, submit_and_park};

/// Tells whether a receive is worth a try before it is submitted; not where nobody schedules: the
/// wait tries first there.
#[inline]
pub(crate) fn wants_try() -> bool {
    here().is_some_and(|here| here.driver().borrow_mut().wants_try())
}

/// Takes note of what such a try has found.
#[inline]
pub(crate) fn tried(found: bool) {
    if let Some(here) = here() {
        here.driver().borrow_mut().tried(found);
    }
}

/// Makes one try of `op`, a transfer that is not to wait (`nonblocking`); the result is in the form
/// of the kernel's. Where others are ready to run, or operations are queued, the try goes with
/// theirs in one batch; else it is `attempt`, the same by a plain call.
///
/// # Errors
/// [`Cancelled`](crate::task::Cancelled); nothing has been tried then.
///
/// # Safety
/// As for [`perform`].
pub(crate) unsafe fn try_in_turn(op: &Op, attempt: impl Fn() -> Outcome) -> io::Result<Outcome> {
    let Some(here) = here().filter(|here| has_company(*here, op)) else {
        return in_place(attempt);
    };
    if let Begin::TryOnce(_) = begin_operation(here, NEVER, false)? {
        return Ok(attempt());
    }
    loop {
        // SAFETY: handed on to the caller; `submit_and_park` returns after the completion.
        let outcome = unsafe { submit_and_park(here, op, NEVER, Driver::submit_try) };
        // There is no room for further operations.
        let Ok(outcome) = outcome else { return Ok(attempt()) };
        if !here.me().cancel_requested.get() || !outcome.is_cancelled() {
            return Ok(outcome);
        }
        deliver_kill(here);
        if is_cancelled(here) {
            return Err(killed());
        }
    }
}

fn has_company(here: Here, op: &Op) -> bool {
    let driver = here.driver().borrow();
    (here.ready_count() > 0 || driver.has_work()) && driver.batches_tries(op)
}

/// An experiment (`--cfg overlapped_try_first`): a transfer on a socket is tried before it is
/// submitted where it would be alone in its batch: nobody else is ready to run, and nothing is
/// queued. With many connections tries break the ring's batches up (docs/decisions/0033).
#[inline(always)]
pub(crate) fn pays_to_try(here: Here, op: &Op) -> bool {
    cfg!(overlapped_try_first)
        && op.is_transfer()
        && here.ready_count() == 0
        && !here.driver().borrow().has_work()
}
