//! Signal masks of calls that wait, and the descriptor of the signals that such a mask lets in.

use std::ffi::c_int;
use std::os::fd::{FromRawFd, OwnedFd};

use libc::sigset_t;

use crate::raw::{Outcome, call};

/// The kernel's size of a signal mask.
pub(crate) const MASK_SIZE: usize = 8;

pub(crate) const NO_MASK: *const sigset_t = std::ptr::null();

/// Returns the signals that the thread blocks and a mask does not; `None` if there are none. (The
/// others are delivered anyway, and would count as blocked while they are.)
///
/// # Safety
/// `mask` is null, or points to a mask of the kernel's size at least.
pub(super) unsafe fn unblocked_by(mask: *const sigset_t) -> Option<u64> {
    // SAFETY: the caller's promise.
    let mask = unsafe { mask.cast::<u64>().as_ref() }?;
    let mut blocked = 0u64;
    // SAFETY: the call changes nothing; the place has the kernel's size.
    unsafe { call!(rt_sigprocmask, libc::SIG_BLOCK, 0, &raw mut blocked, MASK_SIZE) };
    let signals = blocked & !mask;
    (signals != 0).then_some(signals)
}

/// Makes a descriptor that is readable while one of these signals is pending and blocked.
pub(crate) fn signal_descriptor(signals: u64) -> Result<OwnedFd, Outcome> {
    let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
    // SAFETY: the set is borrowed for the call, which returns a new descriptor, or an error.
    let made = unsafe { call!(signalfd4, -1i32, &raw const signals, MASK_SIZE, flags) };
    if made < 0 {
        return Err(made);
    }
    // SAFETY: the call above has made it.
    Ok(unsafe { OwnedFd::from_raw_fd(made as c_int) })
}
