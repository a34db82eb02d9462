//! futex(2), by rustix: it makes the system call itself, so no symbol is called that a program
//! could replace.

use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::{Timespec, futex};

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::AtomicU32 as Word;

/// Number of looks at a lock before its caller sleeps.
pub(crate) const SPINS: u32 = if cfg!(miri) { 0 } else { 100 };

/// Blocks the thread while `word` is `expected`, until woken, for `limit` at most. May return
/// without a reason; false: `limit` has passed.
pub(crate) fn wait(word: &Word, expected: u32, limit: Option<Duration>) -> bool {
    let seconds = |limit: Duration| {
        let tv_sec = limit.as_secs().try_into().ok()?; // A longer limit is no limit.
        Some(Timespec { tv_sec, tv_nsec: limit.subsec_nanos().into() })
    };
    let limit = limit.and_then(seconds);
    let waited = futex::wait(word, futex::Flags::PRIVATE, expected, limit.as_ref());
    waited != Err(Errno::TIMEDOUT)
}

/// Wakes one waiter.
pub(crate) fn wake_one(word: &Word) {
    // The call wakes one waiter or none, and cannot fail for a word of this process.
    let _ = futex::wake(word, futex::Flags::PRIVATE, 1);
}
