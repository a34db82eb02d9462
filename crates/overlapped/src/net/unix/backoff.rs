//! Retries with growing pauses, for events that the kernel does not announce.

use std::io;

use crate::sys::errno::says_would_block;
use crate::task::yield_now;
use crate::time::{Duration, Instant, sleep_until};

/// The first pause; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(5);

/// Calls `attempt` until it ends other than with `EAGAIN`, for at most `limit`; then it returns the
/// last `EAGAIN`.
///
/// `attempt` makes one try, through the suspension point. There a kill is delivered. A deadline, or
/// a caller that may not wait, is an error without a number, and so ends the retries.
pub(super) fn retry<T>(
    limit: Option<Duration>,
    mut attempt: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut pause = Duration::ZERO;
    loop {
        match attempt() {
            Err(error) if says_would_block(&error) => {
                let now = Instant::now();
                if end.is_some_and(|end| now >= end) {
                    return Err(error);
                }
                if pause.is_zero() {
                    yield_now();
                    pause = SHORTEST;
                    continue;
                }
                let next = now + pause;
                sleep_until(end.map_or(next, |end| end.min(next)));
                pause = (pause * 2).min(LONGEST);
            }
            result => return result,
        }
    }
}
