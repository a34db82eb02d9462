//! Tries of transfers that must not wait: by a plain call for a single tasklet, in one batch where
//! others are ready.
//!
//! A plain call is the quickest for a single tasklet. With many, a call each costs much more than
//! its own time, because the processor enters and leaves the kernel with cold branch predictors.
//! The processor time of a server of unmodified code with 1,000 clients, for a round trip, relative
//! to the library's own types: 1.66 with a call for each send, 1.15 in one batch.

use std::io;

use super::in_place;
use crate::driver::Driver;
use crate::op::{Op, Outcome};
use crate::sched::{Here, NEVER, here};
use crate::task::begin::{Begin, begin_operation};
use crate::task::cannot_wait::killed;
use crate::task::wait::{deliver_kill, is_cancelled, submit_and_park};

/// Tells whether a receive is worth a try before it is submitted: a speculative receive. Outside a
/// scheduler it is not, because the wait tries first there.
#[inline]
pub(crate) fn speculates() -> bool {
    here().is_some_and(|here| here.driver().borrow_mut().speculates())
}

/// Records whether a speculative receive found something.
#[inline]
pub(crate) fn record_speculation(found: bool) {
    if let Some(here) = here() {
        here.driver().borrow_mut().record_speculation(found);
    }
}

/// Tries `op` once, a transfer that must not wait (`nonblocking`). If others are ready to run, or
/// operations are queued, the try goes with theirs in one batch; else `attempt` makes the same try
/// by a plain call.
///
/// # Errors
/// [`Cancelled`](crate::task::Cancelled); nothing has been tried then.
///
/// # Safety
/// The same as of [`perform`](crate::task::wait::perform).
pub(crate) unsafe fn try_in_turn(op: &Op, attempt: impl Fn() -> Outcome) -> io::Result<Outcome> {
    let Some(here) = here().filter(|here| goes_in_batch(*here, op)) else {
        return in_place(attempt);
    };
    if let Begin::TryOnce(_) = begin_operation(here, NEVER, false)? {
        return Ok(attempt());
    }
    loop {
        // SAFETY: the caller's promise; `submit_and_park` returns after the completion.
        let outcome = unsafe { submit_and_park(here, op, NEVER, Driver::submit_try) };
        // The table has no room for further operations.
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

/// Tells whether a try of `op` would have company in the next batch.
fn goes_in_batch(here: Here, op: &Op) -> bool {
    let driver = here.driver().borrow();
    (here.ready_count() > 0 || driver.has_work()) && driver.batches_tries(op)
}

/// Tells whether `op` is to be tried before it is submitted, in an experiment
/// (`--cfg overlapped_try_first`): a transfer on a socket is tried where it would be alone in its
/// batch: no other tasklet is ready to run, and nothing is queued. With many connections tries
/// break the ring's batches up (docs/decisions/0033).
#[inline(always)]
pub(crate) fn pays_to_try(here: Here, op: &Op) -> bool {
    cfg!(overlapped_try_first)
        && op.is_transfer()
        && here.ready_count() == 0
        && !here.driver().borrow().has_work()
}
