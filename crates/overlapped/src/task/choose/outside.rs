//! Outside a scheduler: the thread waits, as std's calls do.

use super::{Manner, Offer, WaitError, next_due, pick};
use crate::driver;
use crate::op::Op;
use crate::sched::{NEVER, Verdict, Wake};

/// As [`super::choose`]. Nobody else runs on this thread, so only the time and descriptors can
/// change anything: without them a wait is a deadlock at once.
pub(super) fn choose<'a, I>(offers: I, manner: Manner) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn Offer> + Clone,
{
    let active = offers.clone().filter(|offer| offer.is_active());
    if active.clone().next().is_none() {
        return Err(WaitError::Empty);
    }
    let due = next_due(active.clone());
    let ops: Vec<Op> = active.filter_map(Offer::operation).collect();
    loop {
        if let Some((at, offer)) = pick(None, offers.clone(), manner.biased) {
            return Ok((at, offer.seize(None, false)));
        }
        let limit = manner.until.ok_or(WaitError::WouldBlock)?;
        if ops.is_empty() && due == NEVER {
            return Err(WaitError::Deadlock(Verdict::new(Vec::new(), 0)));
        }
        let until = due.min(limit);
        // An error, of a descriptor or of the call, shows at the next look or try.
        let in_time = driver::block_on_any(&ops, (until != NEVER).then_some(until)).unwrap_or(true);
        if !in_time && limit < due {
            return Err(WaitError::TimedOut);
        }
    }
}
