//! The alternate stacks on which the fault handler runs.
//!
//! After an overflow the tasklet's stack has no room, so the handler needs another one. std gives
//! one to its own threads, but not to threads made by others (a C program that calls a Rust
//! library). A scheduler thread therefore calls [`ensure_alt_stack`] before it runs tasklets.

use std::cell::RefCell;

use crate::sys::signal::alternate_stack::{Installed, install};

/// The room for our handlers and an earlier handler, beside the frame that the kernel writes.
const ROOM: usize = 64 * 1024;
/// The room that an existing alternate stack must have beside that frame, to print a few lines.
const ROOM_MIN: usize = 4 * 1024;
/// The same for a handler that writes all tasklets. std's stacks have less.
const ROOM_TO_WRITE: usize = 32 * 1024;

thread_local! {
    /// The handler does not read it, so it need not be async-signal-safe.
    static INSTALLED: RefCell<Option<Installed>> = const { RefCell::new(None) };
}

/// Makes sure that this thread's fault handler has a stack to run on, until the thread ends.
///
/// If the system refuses (no memory), an overflow still kills the process, but without a message.
/// That is no reason not to run tasklets.
pub(crate) fn ensure_alt_stack() {
    if cfg!(miri) {
        return; // Miri has no signals.
    }
    // A thread that is already destroying its thread-locals runs no tasklets.
    _ = INSTALLED.try_with(|installed| {
        if let Ok(Some(new)) = install(ROOM_MIN, ROOM) {
            // If we had installed one, other code has replaced it by one that is too small. The
            // drop keeps ours mapped.
            drop(installed.replace(Some(new)));
        }
    });
}

/// Installs an alternate stack with room for a handler that writes all tasklets, until the result
/// is dropped. `None` if the thread has one, or the system refuses.
///
/// It is not kept to the thread's end, since std removes its own before that, and ours would stay
/// mapped.
pub(crate) fn alt_stack_to_write_on() -> Option<Installed> {
    if cfg!(miri) {
        return None;
    }
    install(ROOM_TO_WRITE, ROOM).ok().flatten()
}
