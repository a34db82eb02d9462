//! Threads that get signals from other threads.

use super::number;

/// A thread to which a signal can be sent. It has two names, because a tasklet with thread-locals
/// of its own has another pthread_self than its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target {
    thread: libc::pthread_t,
    number: u64,
}

impl Target {
    /// Names the calling thread, by the pthread_self that the caller sees.
    pub(crate) fn this_thread() -> Target {
        // SAFETY: the call has no conditions.
        let thread = unsafe { libc::pthread_self() };
        Target { thread, number: number() as u64 }
    }

    /// Returns the kernel's number for the thread.
    pub(crate) fn number(self) -> u64 {
        self.number
    }

    /// Sends a signal to the thread. Returns false if the system refuses.
    ///
    /// # Safety
    /// The thread has not ended.
    pub(crate) unsafe fn send(self, signal: i32) -> bool {
        // SAFETY: the caller's promise: the name of the thread is valid.
        unsafe { libc::pthread_kill(self.thread, signal) == 0 }
    }
}
