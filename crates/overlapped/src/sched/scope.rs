//! The state that a scope shares with its tasklets.

use std::cell::Cell;

use super::{Tcb, TcbPtr};

/// The tasklets of a scope. Lies in the frame of `scope`.
#[derive(Default)]
pub(crate) struct ScopeState {
    /// The first tasklet that has not ended; the others are linked through their blocks.
    pub(crate) first: Cell<Option<TcbPtr>>,
    /// The tasklet that waits for them in `Waiting::Scope`.
    pub(crate) owner: Cell<Option<TcbPtr>>,
    /// Set when a tasklet panicked that was not joined.
    pub(crate) panicked: Cell<bool>,
}

impl ScopeState {
    /// Adds a new tasklet.
    pub(crate) fn add(&self, tcb: TcbPtr, block: &Tcb) {
        let old = self.first.replace(Some(tcb));
        block.scope_next.set(old);
        if let Some(old) = old {
            // SAFETY: a scope links living tasklets only.
            unsafe { old.as_ref() }.scope_prev.set(Some(tcb));
        }
    }

    /// Removes a tasklet that has ended.
    pub(super) fn remove(&self, block: &Tcb) {
        let (prev, next) = (block.scope_prev.take(), block.scope_next.take());
        match prev {
            // SAFETY: as in `add`.
            Some(prev) => unsafe { prev.as_ref() }.scope_next.set(next),
            None => self.first.set(next),
        }
        if let Some(next) = next {
            // SAFETY: as in `add`.
            unsafe { next.as_ref() }.scope_prev.set(prev);
        }
    }

    /// Calls `f` for each living tasklet.
    pub(crate) fn each(&self, mut f: impl FnMut(TcbPtr)) {
        let mut at = self.first.get();
        while let Some(tcb) = at {
            // SAFETY: as in `add`.
            at = unsafe { tcb.as_ref() }.scope_next.get();
            f(tcb);
        }
    }
}
