//! The suspension point of selects: it waits for one of several events, whichever happens first.
//!
//! ```text
//! select ─▶ is one ready?  ── yes ─▶ it happens, the others are not touched
//!             │ no
//!             ▼
//!           every source registers (a channel's queue, a tasklet's end, an operation) ─▶ park
//!             ▼
//!           decided (sched/select.rs): the other nodes are unlinked in the same step,
//!           operations are cancelled and reaped, then the tasklet goes on
//! ```
//!
//! Nothing runs between the check and the registration, so no partner is missed. A check finds
//! registered nodes only, never a select that is still checking. So two selects that face each
//! other on both sides meet as soon as the second one checks.
//!
//! Terminal completion first: [`select`] has no way out before the last of its operations has been
//! reaped.

mod error;
mod joins;
mod outside;
mod sources;

use crate::sched::{AbortOnUnwind, Alternative, Here, NEVER, SelectState, Waiting, Wake, here};

pub use error::WaitError;
pub use joins::{Joinable, wait_all, wait_any};
pub(crate) use sources::{Joining, Readiness, Timer};

use super::wait::{checkpoint, deliver_kill, park};
use super::{CannotWait, take_deadlock_report};
use crate::op::Op;
use crate::sys::clock;

/// An event that may happen.
pub(crate) trait SelectSource {
    /// Returns the alternative that it registers.
    fn alternative(&self) -> &Alternative;

    /// Tells whether it takes part at all.
    fn is_active(&self) -> bool {
        true
    }

    /// Tells whether it can happen at once. Never waits. `now` is on the port's clock; it is only
    /// read if some source is [`due`](SelectSource::due).
    fn is_ready(&self, now: u64) -> bool;

    /// Tells the observer what is about to happen.
    fn observe(&self, here: Here) {
        let _ = here;
    }

    /// Makes it happen; it is ready.
    fn complete(&self, here: Option<Here>, may_switch: bool) -> Wake {
        let _ = (here, may_switch);
        Wake::Done
    }

    /// Registers its alternative where it may happen. Returns true if it has happened already.
    fn register(&self, here: Here, select: &SelectState) -> bool {
        let _ = (here, select);
        false
    }

    /// Returns when it happens by itself.
    fn due(&self) -> u64 {
        NEVER
    }

    /// Returns the operation whose end it waits for.
    fn operation(&self) -> Option<Op> {
        None
    }
}

/// The options of a select.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SelectOptions {
    /// True: the first ready one is taken; false: any of them, each as likely as the others.
    pub(crate) biased: bool,
    /// The end of the wait, on the port's clock; `None`: no wait at all.
    pub(crate) until: Option<u64>,
}

/// Waits until one of `sources` happens. Returns its index and how it happened: `Wake::Done` or
/// `Wake::Closed`.
pub(crate) fn select<'a, I>(sources: I, options: SelectOptions) -> Result<(usize, Wake), WaitError>
where
    I: Iterator<Item = &'a dyn SelectSource> + Clone,
{
    let Some(here) = here() else { return outside::select(sources, options) };
    let may_wait = match checkpoint(here) {
        Err(CannotWait::Killed) => return Err(WaitError::Cancelled),
        checked => checked.is_ok() && options.until.is_some(),
    };
    if !sources.clone().any(SelectSource::is_active) {
        return Err(WaitError::Empty);
    }
    let mut told = !here.is_observed();
    loop {
        if let Some((at, source)) = pick(Some(here), sources.clone(), options.biased) {
            if !told {
                told = true;
                source.observe(here);
                continue; // The observer may have used the channel itself.
            }
            return Ok((at, source.complete(Some(here), may_wait)));
        }
        if !told {
            told = true;
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

/// Picks one of the sources that can happen at once.
fn pick<'a>(
    here: Option<Here>,
    sources: impl Iterator<Item = &'a dyn SelectSource> + Clone,
    biased: bool,
) -> Option<(usize, &'a dyn SelectSource)> {
    let now = if next_due(sources.clone()) == NEVER { 0 } else { clock::nanos() };
    let mut ready =
        sources.enumerate().filter(|(_, source)| source.is_active() && source.is_ready(now));
    let mut picked = ready.next()?;
    if let Some(here) = here.filter(|_| !biased) {
        // Each ready source is as likely as the others, without a count beforehand.
        for (seen, source) in (2..).zip(ready) {
            if here.next_random().is_multiple_of(seen) {
                picked = source;
            }
        }
    }
    Some(picked)
}

/// Returns when the first of the sources that happen by themselves is due.
fn next_due<'a>(sources: impl Iterator<Item = &'a dyn SelectSource>) -> u64 {
    sources.filter(|source| source.is_active()).map(SelectSource::due).min().unwrap_or(NEVER)
}

/// Registers all sources, parks, and returns what happened. `None`: nothing did, check again.
fn wait<'a>(
    here: Here,
    sources: impl Iterator<Item = &'a dyn SelectSource> + Clone,
    limit: u64,
) -> Option<Result<(usize, Wake), WaitError>> {
    let select = SelectState::new(here.me_ptr());
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
