//! The interface of a select's sources, and the choice among those that can happen now.

use crate::op::Op;
use crate::sched::{Alternative, Here, NEVER, SelectState, Wake};
use crate::sys::clock;

/// An event that may happen.
pub(crate) trait SelectSource {
    /// Returns the alternative that it registers.
    fn alternative(&self) -> &Alternative;

    /// Tells whether it takes part at all.
    fn is_active(&self) -> bool {
        true
    }

    /// Tells whether it can happen now. Never waits. `now` is on the port's clock; it is only
    /// read if some source is [`due`](SelectSource::due).
    fn is_ready(&self, now: u64) -> bool;

    /// Tells the observer what is about to happen.
    fn observe(&self, here: Here) {
        let _ = here;
    }

    /// Makes the event happen, which must be ready.
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

/// Picks one of the sources that can happen now.
pub(super) fn pick<'a>(
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
pub(super) fn next_due<'a>(sources: impl Iterator<Item = &'a dyn SelectSource>) -> u64 {
    sources.filter(|source| source.is_active()).map(SelectSource::due).min().unwrap_or(NEVER)
}
