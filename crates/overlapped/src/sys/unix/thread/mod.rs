//! Threads: how many there are, and threads that must not end.

pub(crate) mod count;
pub(crate) mod end;

/// The calling thread's number (gettid(2)); never 0.
pub(crate) fn number() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
