//! The depth of the tasklets' stacks, which some examples print at their end.
//!
//! A tasklet has 192 KiB of stack unless it asks for more. That is less than a thread's, and code
//! built without optimisation needs several times as much as optimised code, so these examples
//! measure it. A thread-local suffices to share the figure: all tasklets are on one thread.

use std::cell::Cell;

use overlapped::task;

thread_local! {
    static DEEPEST: Cell<usize> = const { Cell::new(0) };
}

/// Records the stack that the calling tasklet has used.
pub(crate) fn note() {
    let used = task::stack_used().unwrap_or(0);
    DEEPEST.set(DEEPEST.get().max(used));
}

/// Returns the most that any recorded tasklet of this thread has used.
pub(crate) fn deepest() -> String {
    format!("deepest stack: {} KiB; by default there are 192", DEEPEST.get() >> 10)
}
