//! Results of the library in the kernel's form: a failure is the negated error number.

use std::io;
use std::time::Duration;

use overlapped::task::{Cancelled, shield};
use overlapped::time::sleep;
use overlapped::yield_now;

use crate::raw::{AGAIN, CANCELED, INTERRUPTED, INVALID, IO, Outcome, TIMED_OUT};

/// Converts an error of the library to the kernel's form.
///
/// Code that does not know of kills may repeat the call after every error. So each kill pauses, and
/// each deadline yields, to let other tasklets run.
pub(crate) fn error_number(error: &io::Error) -> Outcome {
    const PAUSE: Duration = Duration::from_millis(1);
    match Cancelled::of(error) {
        Some(Cancelled::Kill) => {
            shield(|| sleep(PAUSE));
            return CANCELED;
        }
        Some(Cancelled::Deadline) => {
            yield_now();
            return TIMED_OUT;
        }
        _ => {}
    }
    if let Some(number) = error.raw_os_error() {
        return -(number as isize);
    }
    match error.kind() {
        io::ErrorKind::TimedOut => TIMED_OUT,
        io::ErrorKind::WouldBlock => AGAIN,
        io::ErrorKind::Interrupted => INTERRUPTED,
        io::ErrorKind::InvalidInput => INVALID,
        _ => IO,
    }
}

/// Converts a byte count to the kernel's form.
pub(crate) fn count_or_error(result: io::Result<usize>) -> Outcome {
    match result {
        Ok(count) => isize::try_from(count).unwrap_or(isize::MAX),
        Err(error) => error_number(&error),
    }
}

/// Converts a byte count of a file to the kernel's form. A kill or a deadline ends only waits for
/// other parties, never an operation on a file: if it was refused for that reason, `in_place` makes
/// it.
pub(crate) fn file_count_or_error(
    result: io::Result<usize>,
    in_place: impl FnOnce() -> Outcome,
) -> Outcome {
    match &result {
        Err(error) if Cancelled::of(error).is_some() => in_place(),
        _ => count_or_error(result),
    }
}
