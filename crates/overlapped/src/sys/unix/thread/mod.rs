//! Threads: how many there are, and threads that must not end.

pub(crate) mod count;
pub(crate) mod end;
pub(crate) mod interruptible;

pub(crate) use crate::sys::native::thread::{number, registers, waits};
