//! The threads of the process, as far as a deadlock report is concerned: any of them may release a
//! lock of std's or of C's.

use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use crate::sys::native::thread::count;
use crate::sys::per_process::ForkHandler;

/// The number of this library's threads that hold no lock of the program's. Below zero for a moment
/// where one has ended before it was counted: then [`are_only`] is false, which is the safe answer.
static HELPERS: AtomicIsize = AtomicIsize::new(0);

/// The guard of a helper's thread: dropped at the thread's end, it takes the thread off the count.
pub(super) struct Helper;

impl Helper {
    /// Prepares for a helper that is to be started. Without it, a fork between the helper's end and
    /// its count would leave the child with a count below zero.
    pub(super) fn prepare() {
        static FORKS: ForkHandler = ForkHandler::new(forget_helpers);
        FORKS.register();
    }

    /// Counts a helper, after its thread has been started: one that was counted earlier would hide
    /// another thread until then.
    pub(super) fn count() {
        HELPERS.fetch_add(1, Relaxed);
    }
}

/// Forgets the parent's helpers, in a child of fork(2). Counted there, they would hide threads that
/// may wake a tasklet. Async-signal-safe.
extern "C" fn forget_helpers() {
    HELPERS.store(0, Relaxed);
}

/// Calls `f`, which is the program's: meanwhile the calling helper counts as a thread that may hold
/// a lock of the program's.
pub(crate) fn as_thread_of_program<R>(f: impl FnOnce() -> R) -> R {
    struct Again;
    impl Drop for Again {
        fn drop(&mut self) {
            HELPERS.fetch_add(1, Relaxed);
        }
    }
    HELPERS.fetch_sub(1, Relaxed);
    let _again = Again;
    f()
}

impl Drop for Helper {
    fn drop(&mut self) {
        HELPERS.fetch_sub(1, Relaxed);
    }
}

/// Tells whether the process has no threads but those of `schedulers` schedulers and such helpers.
/// False if that is not known.
pub(crate) fn are_only(schedulers: usize) -> bool {
    let helpers = HELPERS.load(Relaxed);
    count().is_some_and(|count| count <= schedulers.saturating_add_signed(helpers))
}

#[cfg(all(
    test,
    target_os = "linux",
    target_env = "gnu",
    not(any(miri, overlapped_loom, target_feature = "crt-static"))
))]
mod tests {
    use super::*;

    #[test]
    fn threads_count_from_their_start_to_their_end() {
        // Other tests run meanwhile.
        let before = count().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let threads: Vec<_> = (0..200)
            .map(|_| {
                let sender = sender.clone();
                std::thread::spawn(move || drop(sender))
            })
            .collect();
        drop(sender);
        assert!(before >= 1);
        assert!(receiver.recv().is_err());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!are_only(0));
        assert!(count().unwrap() < before + 200);
    }

    #[test]
    fn a_child_has_none_of_its_parents_helpers() {
        Helper::prepare();
        let helpers = [(); 3].map(|()| {
            Helper::count();
            Helper
        });
        // SAFETY: the child only reads a static and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let found = HELPERS.load(Relaxed);
            // SAFETY: ends this process.
            unsafe { libc::_exit(i32::from(found != 0)) };
        }
        drop(helpers);
        let mut status = -1;
        // SAFETY: a child of ours and a place for its status.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0, "the child counted its parent's helpers");
    }
}
