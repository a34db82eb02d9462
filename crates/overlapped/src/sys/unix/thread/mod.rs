//! Threads: those that are started, how many there are, signals to them, and threads that must not
//! end.

pub(crate) mod count;
pub(crate) mod end;
pub(crate) mod interruptible;
mod start;
mod target;

pub(crate) use crate::sys::native::thread::{number, system_call_name, waits};
pub use start::available_parallelism;
pub(crate) use start::{
    current, park, park_timeout, sleep, start, start_helper, start_small, yield_now,
};
pub(crate) use target::Target;

/// Returns the number of the system call in which a thread of this process waits; `None` if it
/// runs, or if `/proc` does not say.
pub(crate) fn system_call_of(thread: u64) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    let number = text.split_whitespace().next()?.parse().ok()?;
    (number >= 0).then_some(number)
}
