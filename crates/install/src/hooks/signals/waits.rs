//! Waits for a signal. A descriptor (signalfd(2)) shows a signal that the thread blocks, and the
//! thread itself takes it.
//!
//! A signal mask belongs to the thread, and so to all its tasklets.

use std::ffi::c_int;
use std::os::fd::AsRawFd;
use std::time::Duration;

use libc::{siginfo_t, sigset_t, timespec};
use overlapped::signal::{Restart, interruptible};

use crate::caller::Call;
use crate::hooks::readiness::{MASK_SIZE, NO_MASK, poll_by, signal_descriptor};
use crate::next::next;
use crate::query::Direction;
use crate::raw::{AGAIN, INTERRUPTED, INVALID, Outcome, call, give_int};
use crate::symbols::Symbol;
use crate::timespec::duration;
use crate::wait::{Limit, ready};

type Pause = unsafe extern "C" fn() -> c_int;
type SigSuspend = unsafe extern "C" fn(*const sigset_t) -> c_int;
type SigPause = unsafe extern "C" fn(c_int) -> c_int;
type SigPauseBoth = unsafe extern "C" fn(c_int, c_int) -> c_int;
type SigWait = unsafe extern "C" fn(*const sigset_t, *mut c_int) -> c_int;
type SigWaitInfo = unsafe extern "C" fn(*const sigset_t, *mut siginfo_t) -> c_int;
type SigTimedWait = unsafe extern "C" fn(*const sigset_t, *mut siginfo_t, *const timespec) -> c_int;

/// Waits for a signal of `set`, and takes it.
///
/// # Safety
/// `set` is a set of signals, `info` null or a place.
unsafe fn take(
    call: &Call,
    set: *const sigset_t,
    info: *mut siginfo_t,
    limit: Option<Duration>,
) -> Outcome {
    let at_once = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the caller's promise; the time is borrowed for the call.
    let take_now = || unsafe { call!(rt_sigtimedwait, set, info, &raw const at_once, MASK_SIZE) };
    let end = Limit::new(limit);
    let mut pending = None;
    // The descriptor becomes ready at every signal.
    interruptible(Restart::No, || {
        loop {
            match take_now() {
                AGAIN if !end.is_over() => {}
                AGAIN => return AGAIN,
                taken => {
                    // SAFETY: the caller's promise; the kernel has written it.
                    if let Some(info) = unsafe { info.as_mut() }.filter(|_| taken > 0) {
                        /// libc reports raise(3) as kill(2).
                        const BY_TKILL: c_int = -6;
                        if info.si_code == BY_TKILL {
                            info.si_code = libc::SI_USER;
                        }
                    }
                    return taken;
                }
            }
            let pending = match &pending {
                Some(pending) => pending,
                // SAFETY: the caller's promise: a set, of the kernel's size at least.
                None => match signal_descriptor(unsafe { set.cast::<u64>().read() }) {
                    Ok(made) => pending.insert(made),
                    Err(error) => return error,
                },
            };
            match ready(call, pending.as_raw_fd(), Direction::In, end.left()) {
                0 | AGAIN => {}
                error => return error,
            }
        }
    })
}

/// sigtimedwait(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigtimedwait(
    set: *const sigset_t,
    info: *mut siginfo_t,
    limit: *const timespec,
) -> c_int {
    let real: SigTimedWait = next!(sigtimedwait);
    let Some(call) = Call::begin(Symbol::sigtimedwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(set, info, limit) };
    };
    // SAFETY: the caller's promise.
    let limit = match unsafe { limit.as_ref() }.map(duration) {
        None => None,
        Some(Some(limit)) => Some(limit),
        Some(None) => return give_int(INVALID),
    };
    // SAFETY: as above.
    give_int(unsafe { take(&call, set, info, limit) })
}

/// sigwaitinfo(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigwaitinfo(set: *const sigset_t, info: *mut siginfo_t) -> c_int {
    let real: SigWaitInfo = next!(sigwaitinfo);
    match Call::begin(Symbol::sigwaitinfo) {
        // SAFETY: the caller's promise, handed on.
        Some(call) => give_int(unsafe { take(&call, set, info, None) }),
        // SAFETY: as above.
        None => unsafe { real(set, info) },
    }
}

/// sigwait(3), which returns the error's number, never EINTR.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigwait(set: *const sigset_t, signal: *mut c_int) -> c_int {
    let real: SigWait = next!(sigwait);
    let Some(call) = Call::begin(Symbol::sigwait) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(set, signal) };
    };
    loop {
        // SAFETY: as above.
        match unsafe { take(&call, set, std::ptr::null_mut(), None) } {
            INTERRUPTED => {}
            error if error < 0 => return -error as c_int,
            taken => {
                // SAFETY: the caller's promise: a place.
                unsafe { signal.write(taken as c_int) };
                return 0;
            }
        }
    }
}

/// pause(2), as poll(2) without descriptors.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pause() -> c_int {
    let real: Pause = next!(pause);
    if Call::begin(Symbol::pause).is_none() {
        // SAFETY: the function has no arguments.
        return unsafe { real() };
    }
    // SAFETY: there are no descriptors.
    give_int(unsafe { poll_by(Symbol::pause, std::ptr::null_mut(), 0, None, NO_MASK) })
}

/// sigsuspend(2), as ppoll(2) without descriptors.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigsuspend(mask: *const sigset_t) -> c_int {
    let real: SigSuspend = next!(sigsuspend);
    if Call::begin(Symbol::sigsuspend).is_none() {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(mask) };
    }
    // SAFETY: there are no descriptors; the mask is the caller's.
    give_int(unsafe { poll_by(Symbol::sigsuspend, std::ptr::null_mut(), 0, None, mask) })
}

/// sigpause(3), BSD's: it takes the mask to block meanwhile.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn sigpause(mask: c_int) -> c_int {
    let real: SigPause = next!(sigpause);
    if Call::begin(Symbol::sigpause).is_none() {
        // SAFETY: the argument is a number.
        return unsafe { real(mask) };
    }
    suspend(Symbol::sigpause, &of_mask(mask))
}

/// sigpause(3), X/Open's: it takes a signal to unblock meanwhile.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __xpg_sigpause(signal: c_int) -> c_int {
    let real: SigPause = next!(__xpg_sigpause);
    if Call::begin(Symbol::__xpg_sigpause).is_none() {
        // SAFETY: the argument is a number.
        return unsafe { real(signal) };
    }
    without(signal).map_or(-1, |set| suspend(Symbol::__xpg_sigpause, &set))
}

/// sigpause(3), by glibc's name for both.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn __sigpause(signal_or_mask: c_int, is_signal: c_int) -> c_int {
    let real: SigPauseBoth = next!(__sigpause);
    if Call::begin(Symbol::__sigpause).is_none() {
        // SAFETY: the arguments are numbers.
        return unsafe { real(signal_or_mask, is_signal) };
    }
    let set = match is_signal {
        0 => Some(of_mask(signal_or_mask)),
        _ => without(signal_or_mask),
    };
    set.map_or(-1, |set| suspend(Symbol::__sigpause, &set))
}

/// Returns the set of a mask of BSD's, which has 32 signals.
fn of_mask(mask: c_int) -> sigset_t {
    // SAFETY: zeros are a valid set, which is larger than that word.
    unsafe {
        let mut set: sigset_t = std::mem::zeroed();
        (&raw mut set).cast::<u64>().write(u64::from(mask.cast_unsigned()));
        set
    }
}

/// Returns the thread's mask without a signal; `None`, with errno, if there is no such signal.
fn without(signal: c_int) -> Option<sigset_t> {
    // SAFETY: null changes nothing; the set is writable.
    unsafe {
        let mut set: sigset_t = std::mem::zeroed();
        libc::pthread_sigmask(libc::SIG_BLOCK, std::ptr::null(), &mut set);
        (libc::sigdelset(&mut set, signal) == 0).then_some(set)
    }
}

/// Waits for a signal that is not in `set`.
fn suspend(symbol: Symbol, set: &sigset_t) -> c_int {
    // SAFETY: there are no descriptors; the set is valid.
    give_int(unsafe { poll_by(symbol, std::ptr::null_mut(), 0, None, set) })
}
