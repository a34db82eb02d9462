//! The monotonic clock.
//!
//! A time is a number of nanoseconds since some moment before the process began; 64 bits last
//! for 584 years.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the present time. About 20 ns: the clock is read without entering the kernel.
#[inline]
pub(crate) fn nanos() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the present time, to within a tick of the kernel (1 to 10 ms) and never ahead. About 5
/// ns.
#[inline]
pub(crate) fn coarse_nanos() -> u64 {
    #[cfg(target_os = "linux")]
    let now = clock_gettime(ClockId::MonotonicCoarse);
    #[cfg(not(target_os = "linux"))]
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Returns the time that is left until `time`; zero if that has passed.
#[inline]
pub(crate) fn until(time: u64) -> Duration {
    Duration::from_nanos(time.saturating_sub(nanos()))
}
