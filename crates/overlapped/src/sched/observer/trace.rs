//! Backtraces of suspended tasklets. A parked stack cannot be walked from outside, so the hub
//! resumes each tasklet, which writes down its own return addresses and goes on waiting.

use crate::sched::{Sched, Tcb, Trace};

/// The bytes of stack that taking a backtrace may need.
const TRACE_ROOM: usize = 16 * 1024;

impl Sched {
    /// Resumes every suspended tasklet that has a buffer for its trace. It records the trace and
    /// suspends again.
    #[cold]
    pub(in crate::sched) fn trace_everybody(&self) {
        self.tracing.set(false);
        self.each(|_, block| {
            let asked = block.extra(|extra| extra.is_some_and(|extra| extra.trace.is_some()));
            if asked && let Some(fiber) = block.fiber() {
                // SAFETY: this is the hub, and a tasklet that has a fiber is in the middle of its
                // job.
                unsafe { fiber.resume(&block.position, &self.hub) };
            }
        });
    }
}

impl Tcb {
    /// Writes down the addresses of the calling tasklet's frames, if a dump has given it a place
    /// for them and enough stack is left. Allocates nothing.
    #[cold]
    pub(crate) fn record_trace(&self) {
        let Some(mut wanted) = self.extra(|extra| extra?.trace.take()) else {
            return;
        };
        // SAFETY: the tasklet that requested it waits, with the trace alive, until the visits end.
        let trace: &mut Trace = unsafe { wanted.as_mut() };
        let top = (&raw const trace).addr();
        if top.saturating_sub(self.guard.get().end) >= TRACE_ROOM {
            trace.record();
        }
    }
}
