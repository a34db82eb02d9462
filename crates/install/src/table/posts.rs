//! Posts of semaphores, which signal handlers may make, too: sem_post(3) is async-signal-safe.
//!
//! To wake a tasklet takes locks and memory, whose use the handler may have interrupted. So a post
//! takes neither. The semaphore is glibc's, which counts by one atomic step. A word beside the
//! bucket shows whether a tasklet waits there for a post at all. If so, the post is recorded for
//! code that may wake.
//!
//! ```text
//! sem_post ─▶ glibc's ─▶ does a tasklet wait in this bucket? ──▶ no: nothing more
//!                                  │ yes: record it
//!                        all of them on this thread, and a tasklet runs here?
//!                                  │ yes                          │ no
//!                          ask this scheduler             wake the thread (futex)
//!                          (no system call)                       │
//!                                  └──▶ it wakes, in the table ◀──┘
//! ```
//!
//! **Nothing depends on whether the caller is a handler**, since that cannot be known for certain:
//! there are handlers that were installed by a system call, and handlers that were left by
//! siglongjmp(3). Tasklets of this thread cannot run before its scheduler, which reads its requests
//! before it sleeps. If a handler has interrupted the scheduler itself, the scheduler is not asked
//! (`overlapped::signal::request`).
//!
//! **Rejected**: to block signals while the table's lock is held, because it is not the only lock
//! involved: the scheduler's own lists and malloc's may have been interrupted as well. To wake in
//! place unless a handler runs: see above. To search for waiters in other threads' schedulers:
//! these may end meanwhile, and to prevent that takes a lock.
//!
//! **No post is lost.** A waiter counts itself before it checks the semaphore again; a post is made
//! before the count is read. The thread reads the number of changes, then the recorded posts, and
//! sleeps only while that number has not changed. A scheduler is asked after the post is recorded.

use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, fence};

use overlapped::signal::{answer_requests, request, scheduler_number};

use super::protocol::bucket_of;
use super::rt::BUCKETS;
use super::waiters::{next_posted, wake};
use crate::caller::Unmarked;
use crate::pool::with_signals_blocked;
use crate::raw::call;

/// The number of tasklets that wait for posts, for each bucket; above [`COUNT`] the number of their
/// scheduler, or 0 for several. (A scheduler's number that does not fit is cut. If two become
/// equal, a tasklet is woken by the other's thread, a little later.)
static WAITING: [AtomicU64; BUCKETS] = [const { AtomicU64::new(0) }; BUCKETS];
const COUNT: u64 = u32::MAX as u64;

/// Returns the number of the calling tasklet's scheduler, cut to fit; 0 outside a scheduler.
fn scheduler() -> u64 {
    scheduler_number().unwrap_or(0) & COUNT
}

/// Posts for which no waiter has been woken yet, for each bucket.
static RECORDED: [AtomicUsize; BUCKETS] = [const { AtomicUsize::new(0) }; BUCKETS];
/// A counter of recorded posts, on which the thread sleeps.
static CHANGES: AtomicU32 = AtomicU32::new(0);
/// 1 if the thread sleeps, or is about to.
static ASLEEP: AtomicU32 = AtomicU32::new(0);
/// True if there is a thread. A child of fork(2) has none.
static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// A tasklet that waits for a post, counted until this is dropped.
pub(super) struct PostWaiter(usize);

impl PostWaiter {
    /// Counts a tasklet. The flag is false if there is no thread to wake it: then the tasklet
    /// checks by itself.
    pub(super) fn begin(address: usize) -> (PostWaiter, bool) {
        let is_notified = start();
        let bucket = bucket_of(address);
        let me = scheduler();
        let _ = WAITING[bucket].fetch_update(SeqCst, SeqCst, |word| {
            let count = word & COUNT;
            let whose = if count == 0 || word >> 32 == me { me } else { 0 };
            Some((whose << 32) | (count + 1))
        });
        (PostWaiter(bucket), is_notified)
    }
}

impl Drop for PostWaiter {
    fn drop(&mut self) {
        WAITING[self.0].fetch_sub(1, SeqCst);
    }
}

/// Records a post, so that the tasklets that wait for its address are woken. Async-signal-safe;
/// keeps errno.
pub(crate) fn record_post(address: usize) {
    fence(SeqCst);
    let bucket = bucket_of(address);
    let waiting = WAITING[bucket].load(SeqCst);
    if waiting & COUNT == 0 {
        return;
    }
    RECORDED[bucket].fetch_add(1, SeqCst);
    let theirs = waiting >> 32;
    if theirs != 0 && theirs == scheduler() && request() {
        return;
    }
    CHANGES.fetch_add(1, SeqCst);
    if ASLEEP.swap(0, SeqCst) != 0 {
        // SAFETY: a word of this crate.
        unsafe { call!(futex, CHANGES.as_ptr(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, 1) };
    }
}

/// Forgets waiters and recorded posts, in a child of fork(2). Async-signal-safe.
pub(super) fn forget_all() {
    WAITING.iter().for_each(|count| count.store(0, SeqCst));
    RECORDED.iter().for_each(|count| count.store(0, SeqCst));
    ASLEEP.store(0, SeqCst);
    IS_STARTED.store(false, SeqCst);
}

/// Starts the thread, once in each process; returns whether it runs.
fn start() -> bool {
    IS_STARTED.load(Acquire) || start_now()
}

#[cold]
fn start_now() -> bool {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _unmarked = Unmarked::begin();
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !IS_STARTED.load(Acquire) {
        answer_requests(wake_all_recorded);
        let thread = std::thread::Builder::new().name("install-posts".into());
        let made = with_signals_blocked(|| thread.stack_size(1 << 16).spawn(run));
        IS_STARTED.store(made.is_ok(), Release);
    }
    IS_STARTED.load(Acquire)
}

/// Runs the thread.
fn run() {
    loop {
        let seen = CHANGES.load(SeqCst);
        wake_all_recorded();
        ASLEEP.store(1, SeqCst);
        // SAFETY: a word of this crate. The call returns at once if the word has changed.
        unsafe {
            let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            call!(futex, CHANGES.as_ptr(), operation, seen, 0, 0, 0);
        }
    }
}

/// Wakes waiters for all recorded posts: called by the thread, or by a scheduler that was asked.
fn wake_all_recorded() {
    for (bucket, recorded) in RECORDED.iter().enumerate() {
        if recorded.load(Relaxed) > 0 {
            wake_posted(bucket, recorded.swap(0, SeqCst));
        }
    }
}

/// Wakes `posts` waiters at each address in the bucket where tasklets wait for posts. A recorded
/// post does not name its address; a waiter that was woken in vain waits again.
fn wake_posted(bucket: usize, posts: usize) {
    let mut before = 0;
    while let Some(address) = next_posted(bucket, before) {
        wake(address, posts, u32::MAX);
        before = address;
    }
}
