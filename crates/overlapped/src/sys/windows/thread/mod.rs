//! Threads: those that are started, their numbers, waits between them, threads that must not end.

use std::io;
use std::time::Duration;

pub(crate) use std::thread::{JoinHandle, current, park, park_timeout, sleep, yield_now};

pub use std::thread::available_parallelism;
use windows_sys::Win32::System::Threading::{GetCurrentThreadId, INFINITE};

pub(crate) mod end;
pub(crate) mod interruptible;

/// The stack of a small thread.
const SMALL_STACK: usize = 64 << 10;

/// Starts a thread.
pub(crate) fn start<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

/// Starts a thread for system calls and little else, on a small stack.
pub(crate) fn start_small(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.stack_size(SMALL_STACK).spawn(run).map(drop)
}

/// Starts a thread that never holds a lock that a tasklet could wait for.
pub(crate) fn start_helper(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start(name, run).map(drop)
}

/// Returns the calling thread's number; never 0.
pub(crate) fn number() -> i32 {
    // SAFETY: the call has no conditions.
    unsafe { GetCurrentThreadId() as i32 }
}

/// Returns the number of times that the calling thread has waited: not counted here, so a pool
/// grows by its ticks only.
pub(crate) fn waits() -> u32 {
    0
}

/// Returns a limit in whole milliseconds, rounded up; a limit that is too long ends earlier.
pub(super) fn milliseconds(limit: Option<Duration>) -> u32 {
    let Some(limit) = limit else { return INFINITE };
    u32::try_from(limit.as_nanos().div_ceil(1_000_000)).unwrap_or(INFINITE).min(INFINITE - 1)
}

/// A thread, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target(u64);

impl Target {
    /// Names the calling thread.
    pub(crate) fn this_thread() -> Target {
        Target(number() as u64)
    }

    /// Returns the system's number for the thread.
    pub(crate) fn number(self) -> u64 {
        self.0
    }
}

/// Returns the number of the system call in which a thread waits: Windows does not tell.
pub(crate) fn system_call_of(_: u64) -> Option<i64> {
    None
}

/// Returns the name of a system call: Windows does not tell.
pub(crate) fn system_call_name(_: i64) -> Option<&'static str> {
    None
}

/// The threads of the process, as far as a deadlock report is concerned.
pub(crate) mod count {
    /// Tells whether the process has no threads but those of `schedulers` schedulers: not known
    /// here.
    pub(crate) fn are_only(_schedulers: usize) -> bool {
        false
    }

    /// Calls `f`, which is the program's.
    pub(crate) fn as_thread_of_program<R>(f: impl FnOnce() -> R) -> R {
        f()
    }
}
