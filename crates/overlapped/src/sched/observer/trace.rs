//! Backtraces of suspended tasklets. Each tasklet takes its own.

use crate::sched::Sched;

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
