//! Threads: their numbers, how many there are, how often they wait; and signals to them.

/// Returns the calling thread's number; never 0. Async-signal-safe.
#[cfg(target_vendor = "apple")]
pub(crate) fn number() -> i32 {
    let mut number = 0;
    // SAFETY: thread 0 is the calling one, and the place is writable.
    unsafe { libc::pthread_threadid_np(0, &raw mut number) };
    // Counted up from the machine's start: two threads of one process are far less apart than 2³¹.
    (number as i32).max(1)
}

/// Returns the calling thread's number; never 0. Async-signal-safe.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn number() -> i32 {
    // SAFETY: the call has no conditions.
    unsafe { libc::pthread_getthreadid_np() }
}

/// Tells whether the calling thread is the one that runs `main`.
pub(crate) fn is_main() -> bool {
    // SAFETY: the call has no conditions.
    unsafe { libc::pthread_main_np() == 1 }
}

/// Returns the number of times that the calling thread has waited: not counted, so a pool grows by
/// its ticks only.
pub(crate) fn waits() -> u32 {
    0
}

/// Returns the number of threads of this process: not known.
pub(crate) fn count() -> Option<usize> {
    None
}

/// Returns the highest signal.
pub(crate) fn last_signal() -> i32 {
    // 31 on macOS, 126 (SIGRTMAX) on FreeBSD.
    if cfg!(target_vendor = "apple") { 31 } else { 126 }
}

/// Signals that may serve to interrupt a call, the least used ones first: those that do nothing by
/// default.
pub(crate) fn spare_signals() -> impl Iterator<Item = i32> {
    [libc::SIGINFO, libc::SIGIO, libc::SIGWINCH].into_iter()
}

/// Takes back a signal of `set` if one is pending. They are blocked, so it stays until it is taken.
pub(crate) fn take_pending(set: &libc::sigset_t) {
    // SAFETY: the sets are valid, and the place for the number is writable.
    unsafe {
        let (mut pending, mut taken) = (*set, 0);
        let is_set = |set: &libc::sigset_t, signal| libc::sigismember(set, signal) == 1;
        if libc::sigpending(&raw mut pending) == 0
            && (1..=31).any(|signal| is_set(set, signal) && is_set(&pending, signal))
        {
            libc::sigwait(set, &raw mut taken);
        }
    }
}

/// Returns the registers that a signal handler finds: not read here, so a stall is reported without
/// a trace.
pub(crate) fn registers(_: &libc::ucontext_t) -> (usize, usize, usize, usize) {
    (0, 0, 0, 0)
}

/// Returns the bytes that the kernel writes to deliver a signal: not told here.
pub(crate) fn signal_frame_size() -> usize {
    0
}

/// Returns the name of a system call: these systems do not show the number.
pub(crate) fn system_call_name(_: i64) -> Option<&'static str> {
    None
}
