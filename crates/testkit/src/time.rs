//! Limits on time, and waits until a condition holds.

use std::time::{Duration, Instant};

use crate::rounds;

/// A time that is long enough on any machine: only a test that fails waits for its end.
pub const AMPLE: Duration = Duration::from_secs(60);

/// The time between two questions of [`wait_until`].
pub const PAUSE: Duration = Duration::from_millis(1);

/// Returns `count` milliseconds.
pub const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits until `is_so` answers yes, and asks it every [`PAUSE`]. It blocks its thread meanwhile: a
/// tasklet beside which others have to run calls [`wait_until_with`] and a sleep that lets them.
///
/// # Panics
///
/// The answer is no after an [`AMPLE`] time.
#[track_caller]
pub fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_until_with(std::thread::sleep, what, is_so);
}

/// Waits until `is_so` answers yes, and calls `sleep` with a [`PAUSE`] between two questions.
///
/// # Panics
///
/// The answer is no after an [`AMPLE`] time.
#[track_caller]
pub fn wait_until_with(sleep: impl Fn(Duration), what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < AMPLE, "waited in vain until {what}");
        sleep(PAUSE);
    }
}

/// Returns the limit on a time that a test measures: `strict` under torture, on a machine of one's
/// own; else ten times as much, and 10 s at least, because the machine may be slow, and others may
/// be at work on it. The faults that the tests rule out last for longer, or for ever.
pub fn within(strict: Duration) -> Duration {
    match rounds(0, 1) {
        0 => (strict * 10).max(Duration::from_secs(10)),
        _ => strict,
    }
}

/// Checks a limit that cannot be larger, because what is ruled out is only a little later. A busy
/// machine is late now and then, the library's own lateness is there every time: of many rounds,
/// each of which gives its time, one keeps the limit.
///
/// # Panics
///
/// No round keeps it.
#[track_caller]
pub fn in_time(limit: Duration, mut round: impl FnMut() -> Duration) {
    const ROUNDS: usize = 25;
    let seen: Vec<_> = (0..ROUNDS).map(|_| round()).take_while(|took| *took >= limit).collect();
    assert!(seen.len() < ROUNDS, "not once in less than {limit:?}: {seen:.0?}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_until_returns_as_soon_as_the_condition_holds() {
        let mut asked = 0;
        wait_until("it was asked five times", || {
            asked += 1;
            asked == 5
        });
        assert_eq!(asked, 5);
        wait_until_with(|_| panic!("it sleeps"), "it holds at once", || true);
    }

    #[test]
    fn one_round_in_time_is_enough() {
        let mut round = 0;
        in_time(Duration::from_millis(5), || {
            round += 1;
            Duration::from_millis(10 - round)
        });
        assert_eq!(round, 6);
        let late = || in_time(PAUSE, || PAUSE);
        assert!(std::panic::catch_unwind(late).is_err());
    }
}
