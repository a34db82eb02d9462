//! The threads of the process, as far as a deadlock report is concerned: any of them may release a
//! lock of std's or of C's.

use std::sync::atomic::{AtomicIsize, Ordering::Relaxed};

use crate::sys::native::thread::count;
use crate::sys::per_process::ForkHandler;

/// The number of this library's threads that hold no lock of the program's. Below zero for a moment
/// where one has ended before it was counted: then [`are_only`] is false, which is the safe answer.
static HELPERS: AtomicIsize = AtomicIsize::new(0);

/// A helper's thread, which is not counted any more when this is dropped, at its end.
pub(super) struct Helper;

impl Helper {
    /// Counts a helper that was started just now. Not before: a helper that is counted and has no
    /// thread yet would hide another thread.
    pub(super) fn count() {
        static FORKS: ForkHandler = ForkHandler::new(forget_helpers);
        FORKS.register();
        HELPERS.fetch_add(1, Relaxed);
    }
}

/// Forgets the parent's helpers, in a child of fork(2). Counted there, they would hide threads that
/// may wake a tasklet. Async-signal-safe.
extern "C" fn forget_helpers() {
    HELPERS.store(0, Relaxed);
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
