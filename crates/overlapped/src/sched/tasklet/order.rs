//! The order of writes that a signal handler reads.

use std::sync::atomic::{Ordering, compiler_fence};

/// Keeps the compiler from moving writes across this point, as far as a signal handler on this
/// thread can see. `observer/describe` says what it reads.
#[inline(always)]
pub(in crate::sched) fn order_for_handler() {
    compiler_fence(Ordering::SeqCst);
}
