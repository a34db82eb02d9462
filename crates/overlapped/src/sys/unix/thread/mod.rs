//! Threads: how many there are, and threads that must not end.

pub(crate) mod count;
pub(crate) mod end;
pub(crate) mod interruptible;

pub(crate) use crate::sys::native::thread::{number, registers, waits};

/// Returns the number of the system call in which a thread of this process waits; `None` where it
/// runs, or where `/proc` does not say.
pub(crate) fn system_call_of(thread: u64) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    let number = text.split_whitespace().next()?.parse().ok()?;
    (number >= 0).then_some(number)
}
