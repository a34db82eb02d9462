//! futex(2) by std's locks: a hash table of condition variables. Each serves all words whose
//! addresses have its hash.
//!
//! A waker changes the word before it takes the bucket's lock, and a waiter compares the word under
//! that lock, so no wake-up comes between the comparison and the wait.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::AtomicU32 as Word;
use std::sync::atomic::Ordering::Relaxed;

/// Number of looks at a lock before its caller sleeps.
pub(crate) const SPINS: u32 = 100;

struct Bucket {
    lock: Mutex<()>,
    changed: Condvar,
}

const BUCKETS: usize = 64;

static TABLE: [Bucket; BUCKETS] =
    [const { Bucket { lock: Mutex::new(()), changed: Condvar::new() } }; BUCKETS];

fn bucket(word: &Word) -> &'static Bucket {
    // Locks are at least a word apart, mostly a cache line.
    &TABLE[(std::ptr::from_ref(word).addr() / 16) % BUCKETS]
}

/// Blocks the thread while `word` is `expected`, until woken, for `limit` at most. May return
/// without a reason; false: `limit` has passed.
pub(crate) fn wait(word: &Word, expected: u32, limit: Option<Duration>) -> bool {
    let bucket = bucket(word);
    let guard = bucket.lock.lock().unwrap_or_else(PoisonError::into_inner);
    if word.load(Relaxed) != expected {
        return true;
    }
    match limit {
        None => {
            drop(bucket.changed.wait(guard));
            true
        }
        Some(limit) => {
            let waited = bucket.changed.wait_timeout(guard, limit);
            !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
        }
    }
}

/// Wakes one waiter of `word`; here all waiters of its bucket, which compare again.
pub(crate) fn wake_one(word: &Word) {
    let bucket = bucket(word);
    drop(bucket.lock.lock());
    bucket.changed.notify_all();
}
