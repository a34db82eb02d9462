//! The threads of the process, as far as a deadlock report is concerned: any of them may release a
//! lock of std's or of C's.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::sys::native::thread::count;

/// The number of this library's threads that hold no lock of the program's.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// Adds a thread that was started just now.
pub(crate) fn count_helper() {
    HELPERS.fetch_add(1, Relaxed);
}

/// Removes the calling thread, which ends now.
pub(crate) fn uncount_helper() {
    HELPERS.fetch_sub(1, Relaxed);
}

/// Tells whether the process has no threads but those of `schedulers` schedulers and such helpers.
/// False if that is not known.
pub(crate) fn are_only(schedulers: usize) -> bool {
    count().is_some_and(|count| count <= schedulers + HELPERS.load(Relaxed))
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
}
