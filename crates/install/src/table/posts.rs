//! Posts of semaphores, which signal handlers may make, too: sem_post(3) is async-signal-safe.
//!
//! To wake a tasklet takes locks and memory, which a handler may have interrupted the use of. So a
//! post takes nothing: the semaphore is glibc's, which counts by one atomic step; a count beside
//! the bucket says whether a tasklet waits there for a post at all; and if so, the post is noted,
//! and a thread of this crate's is told, which wakes the tasklet.
//!
//! ```text
//! sem_post ─▶ glibc's ─▶ does a tasklet wait in this bucket? ──▶ no: that is all
//!                                  │ yes
//!                          note, wake the thread (futex) ─▶ the thread: wake, in the table
//! ```
//!
//! **Rejected**: to block signals while the table's lock is held. It is not the only lock on the
//! way: the scheduler's own lists and malloc's may have been interrupted as well.
//!
//! **No post is lost.** A waiter counts itself before it looks at the semaphore again; a post is
//! made before the count is read. The thread reads how many posts there have been, then the notes,
//! and sleeps only while that number has not changed.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicUsize, fence};

use super::{BUCKETS, bucket_of, next_posted, wake};
use crate::caller::Unmarked;
use crate::pool::without_signals;
use crate::raw::call;

/// Tasklets that wait for posts, for each bucket.
static WAITING: [AtomicUsize; BUCKETS] = [const { AtomicUsize::new(0) }; BUCKETS];
/// Posts that nobody has been woken for.
static NOTED: [AtomicUsize; BUCKETS] = [const { AtomicUsize::new(0) }; BUCKETS];
/// Changes with each note; the thread sleeps for it.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// The thread sleeps, or is about to.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
/// The process that has the thread: a child of fork(2) has none.
static STARTED: Mutex<u32> = Mutex::new(0);

/// A tasklet that waits for a post, counted.
pub(super) struct Counted(usize);

impl Counted {
    /// Counts it. False beside it: there is no thread to wake it, so it must look by itself.
    pub(super) fn begin(address: usize) -> (Counted, bool) {
        let is_heard = start();
        let bucket = bucket_of(address);
        WAITING[bucket].fetch_add(1, SeqCst);
        (Counted(bucket), is_heard)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        WAITING[self.0].fetch_sub(1, SeqCst);
    }
}

/// Tells the tasklets that wait for the address of a post that has been made. Async-signal-safe,
/// and leaves errno alone.
pub(crate) fn note_post(address: usize) {
    fence(SeqCst);
    let bucket = bucket_of(address);
    if WAITING[bucket].load(SeqCst) == 0 {
        return;
    }
    NOTED[bucket].fetch_add(1, SeqCst);
    NEWS.fetch_add(1, SeqCst);
    if ASLEEP.swap(0, SeqCst) != 0 {
        // SAFETY: a word of this crate's.
        unsafe { call!(futex, NEWS.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

/// Forgets who waits, and what was noted, in a child of fork(2). Async-signal-safe.
pub(super) fn forget_all() {
    for count in WAITING.iter().chain(&NOTED) {
        count.store(0, SeqCst);
    }
    ASLEEP.store(0, SeqCst);
}

/// Starts the thread, once in each process; whether there is one.
fn start() -> bool {
    let _unmarked = Unmarked::begin();
    let mut started = STARTED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let process = std::process::id();
    if *started != process {
        let thread = std::thread::Builder::new().name("install-posts".into());
        let made = without_signals(|| thread.stack_size(1 << 16).spawn(run));
        if made.is_ok() {
            *started = process;
        }
    }
    *started == process
}

/// The thread.
fn run() {
    loop {
        let seen = NEWS.load(SeqCst);
        for (bucket, noted) in NOTED.iter().enumerate() {
            if noted.load(Relaxed) > 0 {
                wake_posted(bucket, noted.swap(0, SeqCst));
            }
        }
        ASLEEP.store(1, SeqCst);
        // SAFETY: a word of this crate's. It returns at once where the word has changed.
        unsafe {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            call!(futex, NEWS.as_ptr(), operation, seen, 0, 0, 0);
        }
    }
}

/// Wakes so many at each address in the bucket where posts are waited for: which of them was posted
/// at is not noted, and who was woken for nothing waits again.
fn wake_posted(bucket: usize, posts: usize) {
    let mut before = 0;
    while let Some(address) = next_posted(bucket, before) {
        wake(address, posts, u32::MAX);
        before = address;
    }
}
