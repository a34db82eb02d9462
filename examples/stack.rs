//! How deep the tasklets' stacks have been: what every example prints at its end.
//!
//! A tasklet has 192 KiB of stack unless it asks for more. That is less than a thread's, and code
//! that was built without optimisation needs several times as much as optimised code, so these
//! examples look. A thread-local is enough to share the figure: all tasklets are on one thread.

use std::cell::Cell;

use overlapped::task;

thread_local! {
    static DEEPEST: Cell<usize> = const { Cell::new(0) };
}

/// Takes the calling tasklet's stack into account.
pub(crate) fn note() {
    let used = task::stack_used().unwrap_or(0);
    DEEPEST.set(DEEPEST.get().max(used));
}

/// The most that any tasklet of this thread has used, as far as it was noted.
pub(crate) fn deepest() -> String {
    format!("deepest stack: {} KiB; by default there are 192", DEEPEST.get() >> 10)
}
