//! The view of the scheduler from outside: the observer's callbacks, and the state of tasklets that
//! dumps, the watchdog and the report of stack overflows read.

mod callbacks;
mod describe;
mod running;
mod trace;

pub use callbacks::{ChannelEvent, Observer};
pub(super) use describe::{LOOKUP, Shown, show, shown};
pub(crate) use running::report_overflows;

use super::{Sched, Tcb};

impl Sched {
    /// Notifies the observer, if there is one, that `running` runs now.
    #[inline]
    pub(crate) fn observe_switch(&self) {
        if self.observer.is_some() {
            let next = self.running_block().id;
            let previous = self.ran_last.replace(next);
            self.observe(|observer| observer.switched((previous != 0).then_some(previous), next));
        }
    }

    /// Calls the observer, if there is one, on the calling tasklet's stack. It must not suspend.
    #[inline]
    pub(crate) fn observe(&self, f: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            if self.observing.replace(true) {
                return; // The observer's own actions are not observed.
            }
            // An observer only watches, so its panic ends nothing.
            self.running_block().call_without_waiting(|| f(&**observer));
            self.observing.set(false);
        }
    }

    /// Returns the running tasklet's block.
    #[inline]
    fn running_block(&self) -> &Tcb {
        match self.running.get() {
            Some(tcb) => self.block(tcb),
            None => unreachable!("called by a tasklet"),
        }
    }
}
