//! SIGPIPE, blocked on a scheduler's thread.
//!
//! A write to a pipe without a reader must fail with `EPIPE` alone, whatever the process does
//! about the signal. Sockets need none of this (`MSG_NOSIGNAL`), and neither do the ring's own
//! threads, which take no signals.
//!
//! The signal is generated for the writing thread. So one that became pending while it was blocked
//! comes from a write of ours, and is discarded before unblocking.
//!
//! A child process inherits the mask, and a program that finds SIGPIPE blocked does not end when
//! its reader has gone. So a process is started with the signal unblocked ([`unblocked`]).

use std::cell::Cell;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use crate::sys::native::thread::take_pending;

thread_local! {
    /// The signal is blocked by the guard, and was not before.
    static BLOCKED: Cell<bool> = const { Cell::new(false) };
}

/// Blocks SIGPIPE on this thread until the guard is dropped.
pub(crate) fn block() -> SigpipeGuard {
    if cfg!(miri) {
        // Miri has no signals, so this is as if the caller had blocked them.
        return SigpipeGuard { was_pending: false, was_blocked: true, thread: PhantomData };
    }
    let mut pending = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the place is valid; the call succeeds for a valid argument and fills the set.
    let was_pending = unsafe {
        assert_eq!(libc::sigpending(pending.as_mut_ptr()), 0);
        libc::sigismember(pending.as_ptr(), libc::SIGPIPE) == 1
    };
    let was_blocked = mask(libc::SIG_BLOCK);
    if !was_blocked {
        BLOCKED.set(true);
    }
    SigpipeGuard { was_pending, was_blocked, thread: PhantomData }
}

/// Tells whether a guard blocks the signal on this thread, which did not block it before.
pub(crate) fn is_blocked() -> bool {
    BLOCKED.get()
}

/// Records the result of [`is_blocked`], for code on the same thread with other thread-locals.
pub(crate) fn inherit(is_blocked: bool) {
    BLOCKED.set(is_blocked);
}

/// The state that [`block`] found, to be restored. Belongs to its thread.
#[must_use]
pub(crate) struct SigpipeGuard {
    was_pending: bool,
    was_blocked: bool,
    thread: PhantomData<*const ()>,
}

impl Drop for SigpipeGuard {
    fn drop(&mut self) {
        if self.was_blocked {
            return;
        }
        BLOCKED.set(false);
        if !self.was_pending {
            take_pending(&set());
        }
        mask(libc::SIG_UNBLOCK);
    }
}

/// Runs `f`, which writes to no pipe, with the signal mask that this thread had before the guard.
pub(crate) fn unblocked<T>(f: impl FnOnce() -> T) -> T {
    struct BlockAgain;
    impl Drop for BlockAgain {
        fn drop(&mut self) {
            mask(libc::SIG_BLOCK);
        }
    }
    let again = BLOCKED.get().then(|| {
        take_pending(&set());
        mask(libc::SIG_UNBLOCK);
        BlockAgain
    });
    let result = f();
    drop(again);
    result
}

/// Blocks or unblocks SIGPIPE. Tells whether it was blocked before.
fn mask(how: i32) -> bool {
    let set = set();
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both places are valid; the call succeeds for valid arguments and fills `before`.
    unsafe {
        assert_eq!(libc::pthread_sigmask(how, &set, before.as_mut_ptr()), 0);
        libc::sigismember(before.as_ptr(), libc::SIGPIPE) == 1
    }
}

fn set() -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; SIGPIPE is a valid signal.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGPIPE);
        set.assume_init()
    }
}
