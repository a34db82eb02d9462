//! The handler of stack overflows, on Windows. It runs on the stack that has overflowed, in the
//! room that is kept for it; std's handler runs after it, and the process dies.

use std::io;
use std::sync::OnceLock;

use super::{Lookup, report};
use crate::sys::overflow::handle;

static LOOKUP: OnceLock<Lookup> = OnceLock::new();

/// Installs the handler, once per process; later calls keep the first `lookup` and succeed.
///
/// # Errors
/// The system's own.
///
/// # Safety
/// `lookup` neither allocates nor locks, is callable on any thread at any instruction, and returns
/// names that are readable. It must not unwind.
pub(crate) unsafe fn install(lookup: Lookup) -> io::Result<()> {
    LOOKUP.get_or_init(|| lookup);
    handle(on_overflow)
}

fn on_overflow(lowest: usize) {
    // The guard of a tasklet's stack ends at the lowest address that its code may use.
    if let Some(lookup) = LOOKUP.get()
        && let Some(overflowing_tasklet) = lookup(lowest.wrapping_sub(1))
    {
        report(&overflowing_tasklet);
    }
}

/// Stands for the alternate stack on Unix; there is none.
pub(crate) enum Installed {}

/// Does nothing.
pub(crate) fn ensure_alt_stack() {}

/// Returns `None`.
pub(crate) fn alt_stack_to_write_on() -> Option<Installed> {
    None
}
