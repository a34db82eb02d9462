//! futex(2)'s counterpart: WaitOnAddress.

use std::time::Duration;

pub(crate) use std::hint::spin_loop;
pub(crate) use std::sync::atomic::AtomicU32 as Word;

use windows_sys::Win32::System::Threading::{WaitOnAddress, WakeByAddressSingle};

use super::errno::TIMED_OUT;
use super::thread::milliseconds;

/// Number of looks at a lock before its caller sleeps.
pub(crate) const SPINS: u32 = 100;

/// Blocks the thread while `word` is `expected`, until woken, for `limit` at most. May return
/// without a reason; false: `limit` has passed.
pub(crate) fn wait(word: &Word, expected: u32, limit: Option<Duration>) -> bool {
    let address = std::ptr::from_ref(word).cast();
    let compared = (&raw const expected).cast();
    // SAFETY: both addresses are of four bytes that stay valid during the call.
    let woken =
        unsafe { WaitOnAddress(address, compared, size_of::<u32>(), milliseconds(limit)) } != 0;
    woken || crate::sys::errno::errno() as u32 != TIMED_OUT
}

/// Wakes one waiter of `word`.
pub(crate) fn wake_one(word: &Word) {
    // SAFETY: only the address counts; nothing is read there.
    unsafe { WakeByAddressSingle(std::ptr::from_ref(word).cast()) };
}
