//! The threads of the process, as far as a deadlock's verdict is concerned: a lock of std's or C's
//! may be released by any of them.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Threads of this library that hold nothing of anybody's.
static HELPERS: AtomicUsize = AtomicUsize::new(0);

/// Counts a thread that was started just now as such a one.
pub(crate) fn count_helper() {
    HELPERS.fetch_add(1, Relaxed);
}

/// Counts one of them no longer: the calling thread, which ends now.
pub(crate) fn uncount_helper() {
    HELPERS.fetch_sub(1, Relaxed);
}

/// Tells whether the process has no other threads than so many schedulers' and such helpers. False
/// where that is not known.
pub(crate) fn are_only(schedulers: usize) -> bool {
    count().is_some_and(|count| count <= schedulers + HELPERS.load(Relaxed))
}

/// Asks glibc: it counts a thread from before its start until it ends. The kernel's own, which ring
/// operations have, are none.
#[cfg(all(target_os = "linux", target_env = "gnu", not(any(miri, target_feature = "crt-static"))))]
fn count() -> Option<usize> {
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicU32;

    static PLACE: OnceLock<Option<&'static AtomicU32>> = OnceLock::new();
    let place = PLACE.get_or_init(|| {
        // What glibc tells debuggers of the variable: its bits.
        // SAFETY: names that end in zeros, and the pseudo-handle of all that is loaded.
        let (place, told) = unsafe {
            let find = |name: &std::ffi::CStr| libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr());
            (find(c"__nptl_nthreads"), find(c"_thread_db___nptl_nthreads"))
        };
        if place.is_null() || told.is_null() {
            return None;
        }
        // SAFETY: bits, count, offset.
        let bits = unsafe { *told.cast::<[u32; 3]>() }[0];
        // SAFETY: a variable of libc's, which is changed atomically, and stays.
        (bits == 32).then(|| unsafe { AtomicU32::from_ptr(place.cast()) })
    });
    Some(place.as_ref()?.load(Relaxed) as usize)
}

#[cfg(not(all(
    target_os = "linux",
    target_env = "gnu",
    not(any(miri, target_feature = "crt-static"))
)))]
fn count() -> Option<usize> {
    None
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
