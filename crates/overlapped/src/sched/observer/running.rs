//! The running tasklet, for the two signal handlers that name it: that of stack overflows and the
//! watchdog's. Everything here is async-signal-safe.

use std::io;

use crate::sched::here;
use crate::stack;
use crate::stack::overflow::{self, OverflowingTasklet};
use crate::watchdog::Held;

/// Installs the report of stack overflows, once per process, and its stack, once per thread.
pub(crate) fn report_overflows() -> io::Result<()> {
    // SAFETY: `overflowing_tasklet` reads a const-initialised thread-local and plain cells of this
    // thread, and names stay where they are from a tasklet's first run to its end.
    unsafe { overflow::install(overflowing_tasklet) }?;
    overflow::ensure_alt_stack();
    Ok(())
}

/// Returns the tasklet that runs on this thread, if `fault` is in its stack's guard.
fn overflowing_tasklet(fault: usize) -> Option<OverflowingTasklet> {
    let here = here()?;
    let me = here.me();
    let guard = me.guard.get();
    if !(guard.start..guard.end).contains(&fault) {
        return None;
    }
    let name = me.name_in_handler();
    let (name, name_len) = name.map_or((std::ptr::null(), 0), |name| (name.as_ptr(), name.len()));
    // The suspender lies at the top of the stack; stacks are multiples of guards.
    let usable = (me.suspender.get().addr() - guard.end).next_multiple_of(stack::GUARD);
    let stack_size = usable + (guard.end - guard.start);
    Some(OverflowingTasklet { name, name_len, id: me.id, usable, stack_size })
}

/// Returns the tasklet that runs on this thread.
pub(super) fn running_tasklet() -> Option<Held> {
    let here = here()?;
    let me = here.block(here.running.get()?);
    let name = me.name_in_handler();
    let (name, name_len) = name.map_or((std::ptr::null(), 0), |name| (name.as_ptr(), name.len()));
    // The suspender lies at the top of the stack, above the first frame.
    let stack = (me.guard.get().end, me.suspender.get().addr());
    Some(Held { id: me.id, name, name_len, spawned_at: me.spawned_at, stack })
}
