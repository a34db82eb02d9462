//! Selects of tasklets: the wait with all sources registered.

use super::pick::{next_due, pick};
use super::{SelectOptions, SelectSource, WaitError};
use crate::sched::{AbortOnUnwind, Here, NEVER, SelectState, Waiting, Wake, node_of};
use crate::task::suspension::{CannotWait, checkpoint, deliver_kill, park, take_deadlock_report};

/// Waits as [`super::select`] does, as the calling tasklet.
pub(super) fn select<'a, I>(
    here: Here,
    sources: I,
    options: SelectOptions,
) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn SelectSource> + Clone,
{
    let may_wait = match checkpoint(here) {
        Err(CannotWait::Killed) => return Err(WaitError::Cancelled),
        checked => checked.is_ok() && options.until.is_some(),
    };
    if !sources.clone().any(SelectSource::is_active) {
        return Err(WaitError::Empty);
    }
    let mut must_observe = here.is_observed();
    loop {
        if let Some((at, source)) = pick(Some(here), sources.clone(), options.biased) {
            if must_observe {
                must_observe = false;
                source.observe(here);
                continue; // The observer may have used the channel itself.
            }
            return Ok((at, source.complete(Some(here), may_wait)));
        }
        if must_observe {
            must_observe = false;
            sources
                .clone()
                .filter(|source| source.is_active())
                .for_each(|source| source.observe(here));
            continue;
        }
        if !may_wait {
            return Err(WaitError::WouldBlock);
        }
        let limit = options.until.unwrap_or(NEVER);
        if let Some(ended) = wait(here, sources.clone(), limit.min(here.me().deadline.get())) {
            return ended;
        }
    }
}

/// Registers all sources, parks, and returns what happened. `None`: nothing did, check again.
fn wait<'a>(
    here: Here,
    sources: impl Iterator<Item = &'a dyn SelectSource> + Clone,
    limit: u64,
) -> Option<Result<(usize, Wake), WaitError>> {
    let select = SelectState::new(node_of(here.me_ptr()));
    let due = next_due(sources.clone());
    let mut until = due.min(limit);
    let no_way_out = AbortOnUnwind("while others know where a select waits");
    for source in sources.clone().filter(|source| source.is_active()) {
        let alternative = source.alternative();
        // SAFETY: neither the state nor the sources, which are borrowed, move or are dropped before
        // this returns, and it returns after the last node has been unlinked.
        unsafe { select.add(alternative) };
        if source.register(here, &select) {
            here.decide(&select, Some(alternative), Wake::Done);
            until = NEVER;
            break;
        }
    }
    let mut wake = Wake::Done;
    if select.decided.get().is_none() || select.in_flight.get() > 0 {
        wake = park(here, Waiting::Select((&select).into()), until);
    }
    assert_eq!(select.in_flight.get(), 0, "a select goes on after its operations have ended");
    std::mem::forget(no_way_out);
    let mut sources = sources;
    if let Some(happened) = select.happened.get() {
        let it = |source: &dyn SelectSource| std::ptr::eq(source.alternative(), happened.as_ptr());
        return sources.position(it).map(|at| Ok((at, wake)));
    }
    match wake {
        Wake::Done | Wake::Closed => None,
        Wake::TimedOut if due <= limit => {
            let it = |source: &dyn SelectSource| source.is_active() && source.due() == due;
            sources.position(it).map(|at| Ok((at, Wake::Done)))
        }
        Wake::TimedOut => Some(Err(WaitError::TimedOut)),
        Wake::Deadlock => Some(Err(WaitError::Deadlock(take_deadlock_report(here)))),
        Wake::Killed => {
            deliver_kill(here);
            Some(Err(WaitError::Cancelled))
        }
    }
}
