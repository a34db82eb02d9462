//! Times and moments as C code has them.

use std::time::Duration;

use libc::timespec;

/// The nanoseconds of a second.
pub(crate) const NANOSECONDS: i64 = 1_000_000_000;

/// Converts a time; `None` if the kernel refuses it.
pub(crate) fn duration(time: &timespec) -> Option<Duration> {
    let nanoseconds = (0..NANOSECONDS).contains(&time.tv_nsec).then_some(time.tv_nsec as u32)?;
    Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds))
}

/// Returns the time until a moment of a clock.
pub(crate) fn until(clock: libc::clockid_t, moment: Duration) -> Duration {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes to `now`.
    unsafe { libc::clock_gettime(clock, &mut now) };
    moment.saturating_sub(duration(&now).unwrap_or_default())
}

/// Converts a time; one that is too long becomes the longest.
pub(crate) fn from_duration(span: Duration) -> timespec {
    timespec {
        tv_sec: i64::try_from(span.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(span.subsec_nanos()),
    }
}
