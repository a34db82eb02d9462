//! Selects outside a scheduler: the thread waits, as with std's calls.

use super::pick::{next_due, pick};
use super::{SelectOptions, SelectSource, WaitError};
use crate::driver;
use crate::op::Op;
use crate::sched::{DeadlockReport, NEVER, Wake};

/// Waits as [`super::select`] does. No tasklet runs on this thread, so only the time and
/// descriptors can change anything: without them a wait is a deadlock at once.
pub(super) fn select<'a, I>(sources: I, options: SelectOptions) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn SelectSource> + Clone,
{
    let active = sources.clone().filter(|source| source.is_active());
    if active.clone().next().is_none() {
        return Err(WaitError::Empty);
    }
    let due = next_due(active.clone());
    let ops: Vec<Op> = active.filter_map(SelectSource::operation).collect();
    loop {
        if let Some((at, source)) = pick(None, sources.clone(), options.biased) {
            return Ok((at, source.complete(None, false)));
        }
        let limit = options.until.ok_or(WaitError::WouldBlock)?;
        if ops.is_empty() && due == NEVER {
            return Err(WaitError::Deadlock(DeadlockReport::new(Vec::new(), 0)));
        }
        let until = due.min(limit);
        // An error, of a descriptor or of the call, shows at the next check or try.
        let in_time = driver::block_on_any(&ops, (until != NEVER).then_some(until)).unwrap_or(true);
        if !in_time && limit < due {
            return Err(WaitError::TimedOut);
        }
    }
}
