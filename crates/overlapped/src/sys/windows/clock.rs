//! The monotonic clock: QueryPerformanceCounter.
//!
//! A time is a number of nanoseconds since some moment before the process began; 64 bits last
//! for 584 years.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

/// Counts in a second, which never changes; 0 before the first call.
static FREQUENCY: AtomicU64 = AtomicU64::new(0);

/// Returns the present time.
#[inline]
pub(crate) fn nanos() -> u64 {
    let mut count = 0;
    // SAFETY: a place for one number. The call cannot fail since Windows XP.
    unsafe { QueryPerformanceCounter(&raw mut count) };
    let nanos = count as u128 * 1_000_000_000 / u128::from(frequency());
    nanos as u64
}

fn frequency() -> u64 {
    match FREQUENCY.load(Relaxed) {
        0 => {
            let mut frequency = 0;
            // SAFETY: as above.
            unsafe { QueryPerformanceFrequency(&raw mut frequency) };
            let frequency = u64::try_from(frequency).unwrap_or(1).max(1);
            FREQUENCY.store(frequency, Relaxed);
            frequency
        }
        frequency => frequency,
    }
}

/// Returns the present time: there is no cheaper clock of the same kind.
#[inline]
pub(crate) fn coarse_nanos() -> u64 {
    nanos()
}

/// Returns the time that is left until `time`.
#[inline]
pub(crate) fn until(time: u64) -> Duration {
    Duration::from_nanos(time.saturating_sub(nanos()))
}
