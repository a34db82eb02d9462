//! Posts of semaphores, which signal handlers may make, too: sem_post(3) is async-signal-safe.
//!
//! To wake a tasklet takes locks and memory, which a handler may have interrupted the use of. So a
//! post takes nothing: the semaphore is glibc's, which counts by one atomic step; a word beside the
//! bucket says whether a tasklet waits there for a post at all; and if so, the post is noted, for
//! somebody who may wake.
//!
//! ```text
//! sem_post ─▶ glibc's ─▶ does a tasklet wait in this bucket? ──▶ no: that is all
//!                                  │ yes: note it
//!                        all of them on this thread, and a tasklet runs here?
//!                                  │ yes                          │ no
//!                          ask this scheduler             tell the thread (futex)
//!                          (no system call)                       │
//!                                  └──▶ it wakes, in the table ◀──┘
//! ```
//!
//! **Nothing depends on whether the caller is a handler**, which nobody can tell for certain: there
//! are handlers that were installed by a system call, and handlers that have been left by
//! siglongjmp(3). Tasklets of this thread cannot run before its scheduler has its turn, and that
//! looks at what is asked of it before it sleeps. Where a handler has interrupted the scheduler
//! itself, it is not asked (`overlapped::signal::request`).
//!
//! **Rejected**: to block signals while the table's lock is held. It is not the only lock on the
//! way: the scheduler's own lists and malloc's may have been interrupted as well. To wake in place
//! unless a handler runs: see above. To look for waiters in other threads' schedulers: these may
//! end meanwhile, and to prevent that takes a lock.
//!
//! **No post is lost.** A waiter counts itself before it looks at the semaphore again; a post is
//! made before the count is read. The thread reads how many posts there have been, then the notes,
//! and sleeps only while that number has not changed. A scheduler is asked after the note is made.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};

use overlapped::signal::{answer_requests, request, scheduler_number};

use super::{BUCKETS, bucket_of, next_posted, wake};
use crate::caller::Unmarked;
use crate::pool::without_signals;
use crate::raw::call;

/// Tasklets that wait for posts, for each bucket: how many, and above [`COUNT`] the number of their
/// scheduler, 0 for several. (A number that is as long as that is cut. Two that are the same then
/// would mean that a tasklet is woken by the other's thread, a little later.)
static WAITING: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];
const COUNT: u64 = u32::MAX as u64;

/// The number of the calling tasklet's scheduler, as far as it fits; 0 where there is none.
fn scheduler() -> u64 {
    scheduler_number().unwrap_or(0) & COUNT
}

/// Posts that nobody has been woken for.
static NOTED: [AtomicUsize; BUCKETS] = [const { AtomicUsize::new(0) }; BUCKETS];
/// Changes with each note; the thread sleeps for it.
static NEWS: AtomicU32 = AtomicU32::new(0);
/// The thread sleeps, or is about to.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
/// There is a thread. A child of fork(2) has none.
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// A tasklet that waits for a post, counted.
pub(super) struct Counted(usize);

impl Counted {
    /// Counts it. False beside it: there is no thread to wake it, so it must look by itself.
    pub(super) fn begin(address: usize) -> (Counted, bool) {
        let is_heard = start();
        let bucket = bucket_of(address);
        let me = scheduler();
        let _ = WAITING[bucket].fetch_update(SeqCst, SeqCst, |word| {
            let count = word & COUNT;
            let whose = if count == 0 || word >> 32 == me { me } else { 0 };
            Some((whose << 32) | (count + 1))
        });
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
    let waiting = WAITING[bucket].load(SeqCst);
    if waiting & COUNT == 0 {
        return;
    }
    NOTED[bucket].fetch_add(1, SeqCst);
    let theirs = waiting >> 32;
    if theirs != 0 && theirs == scheduler() && request() {
        return;
    }
    NEWS.fetch_add(1, SeqCst);
    if ASLEEP.swap(0, SeqCst) != 0 {
        // SAFETY: a word of this crate's.
        unsafe { call!(futex, NEWS.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

/// Forgets who waits, and what was noted, in a child of fork(2). Async-signal-safe.
pub(super) fn forget_all() {
    WAITING.iter().for_each(|count| count.store(0, SeqCst));
    NOTED.iter().for_each(|count| count.store(0, SeqCst));
    ASLEEP.store(0, SeqCst);
    IS_STARTED.store(false, SeqCst);
}

/// Starts the thread, once in each process; whether there is one.
fn start() -> bool {
    IS_STARTED.load(Acquire) || start_now()
}

#[cold]
fn start_now() -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _unmarked = Unmarked::begin();
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !IS_STARTED.load(Acquire) {
        answer_requests(wake_all_noted);
        let thread = std::thread::Builder::new().name("install-posts".into());
        let made = without_signals(|| thread.stack_size(1 << 16).spawn(run));
        IS_STARTED.store(made.is_ok(), Release);
    }
    IS_STARTED.load(Acquire)
}

/// The thread.
fn run() {
    loop {
        let seen = NEWS.load(SeqCst);
        wake_all_noted();
        ASLEEP.store(1, SeqCst);
        // SAFETY: a word of this crate's. It returns at once where the word has changed.
        unsafe {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            call!(futex, NEWS.as_ptr(), operation, seen, 0, 0, 0);
        }
    }
}

/// Wakes for all posts that have been noted: by the thread, or by a scheduler that was asked.
fn wake_all_noted() {
    for (bucket, noted) in NOTED.iter().enumerate() {
        if noted.load(Relaxed) > 0 {
            wake_posted(bucket, noted.swap(0, SeqCst));
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
