//! Threads that must not end, since their locals may still be in use on other threads.
//!
//! The end of a thread cannot be held up: Windows runs the destructors of thread-locals under the
//! lock of the loader, without which no other thread can start or end. So the library's own threads
//! stop before their end ([`before`]), and the end of one of the program's ends the process.

use std::cell::Cell;
use std::time::Duration;

use super::sleep;
use crate::sys::terminal::write_to_stderr;

struct Guard(Cell<bool>);

impl Drop for Guard {
    fn drop(&mut self) {
        if self.0.get() && !is_process_ending() {
            write_to_stderr(
                b"overlapped: a thread ends on which a tasklet that outlived the grace time of its \
                  run was parked for good, and which may have lent the thread's locals to other \
                  threads; aborting\n",
            );
            std::process::abort();
        }
    }
}

/// Tells whether the process ends, and not only the calling thread: destructors of the last thread
/// run then, too.
fn is_process_ending() -> bool {
    #[link(name = "ntdll")]
    unsafe extern "system" {
        fn RtlDllShutdownInProgress() -> u8;
    }
    // SAFETY: the call has no conditions.
    unsafe { RtlDllShutdownInProgress() != 0 }
}

thread_local! {
    static GUARD: Guard = const { Guard(Cell::new(false)) };
}

/// Keeps the calling thread from ending: its end ends the process.
pub(crate) fn prevent(_is_announced: bool) {
    GUARD.with(|guard| guard.0.set(true));
}

/// Stops a thread of the library's that must not end, when it has nothing more to do.
pub(crate) fn before() {
    while GUARD.with(|guard| guard.0.get()) {
        sleep(Duration::MAX);
    }
}
