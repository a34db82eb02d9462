//! Waiting for what the system does not announce.

use std::io;

use crate::net::socket::is_would_wait;
use crate::task::yield_now;
use crate::time::{Duration, Instant, sleep_until};

/// The first sleep; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_micros(50);
const LONGEST: Duration = Duration::from_millis(5);

/// Does `f` until it says other than `EAGAIN`, for at most `limit`. The last `EAGAIN` is given
/// where the time is over.
///
/// `f` makes one attempt, through the suspension point: there a kill is delivered, and a deadline
/// or a state in which nobody may wait is an error of its own, which has no number.
pub(super) fn patiently<T>(
    limit: Option<Duration>,
    mut f: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    let end = limit.and_then(|limit| Instant::now().checked_add(limit));
    let mut pause = Duration::ZERO;
    loop {
        match f() {
            Err(error) if is_would_wait(&error) => {
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
