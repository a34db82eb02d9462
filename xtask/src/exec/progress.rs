//! The progress of a run of many tests, which is printed now and then, and the limit of the run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(15);

/// The maximum number of tests that a line names.
const NAMED_MAX: usize = 3;

/// A run of many tests.
pub(crate) struct Progress {
    what: String,
    begin: Instant,
    limit: Duration,
    state: Mutex<State>,
}

struct State {
    total: usize,
    done: usize,
    failed: usize,
    running: BTreeMap<String, Instant>,
    /// The tests that took longest, the longest first.
    slowest: Vec<(Duration, String)>,
    /// The time of the last line.
    printed: Instant,
    /// The end of the limit has been printed.
    is_over_printed: bool,
}

impl Progress {
    /// Begins a run of `total` tests, which may take `limit`.
    pub(crate) fn new(what: String, total: usize, limit: Duration) -> Progress {
        let begin = Instant::now();
        let state = State {
            total,
            done: 0,
            failed: 0,
            running: BTreeMap::new(),
            slowest: Vec::new(),
            printed: begin,
            is_over_printed: false,
        };
        Progress { what, begin, limit, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a test that is run again.
    pub(crate) fn again(&self) {
        self.state().total += 1;
    }

    pub(crate) fn begin(&self, test: &str) {
        self.state().running.insert(test.to_owned(), Instant::now());
    }

    /// Records the end of a test, and the reason if it failed.
    pub(crate) fn end(&self, test: &str, failure: Option<&str>) {
        let mut state = self.state();
        let took = state.running.remove(test).map_or(Duration::ZERO, |since| since.elapsed());
        state.done += 1;
        state.failed += usize::from(failure.is_some());
        state.slowest.push((took, test.to_owned()));
        state.slowest.sort_by(|one, other| other.cmp(one));
        state.slowest.truncate(NAMED_MAX);
        if let Some(why) = failure.filter(|why| is_hung(why)) {
            println!("HUNG: {}: {test}: {why}", self.what);
        }
    }

    /// Prints the progress from time to time, and tells whether the limit is over. The first time
    /// that it is, the slowest tests are printed.
    pub(crate) fn report(&self) -> bool {
        let is_over = self.begin.elapsed() > self.limit;
        let mut state = self.state();
        let is_news = is_over && !std::mem::replace(&mut state.is_over_printed, is_over);
        if is_news {
            let limit = self.limit.as_secs();
            println!("LIMIT: {}: {limit} s are over; {}", self.what, state.slow());
        }
        if is_news || state.printed.elapsed() >= EVERY {
            state.printed = Instant::now();
            println!("{}: {}", self.what, state.line());
        }
        is_over
    }

    /// Writes the reason for tests that are not run, or are ended, because the limit is over.
    pub(crate) fn over(&self, did: &str) -> String {
        format!("{NO_END}: {did} when {} s {OVER}", self.limit.as_secs())
    }
}

/// The beginning of the reasons for tests that would hang again.
const NO_END: &str = "no end";
/// The end of the reasons for tests for which there was no time.
const OVER: &str = "for all tests were over";

/// Writes the reason for a test that has not ended.
pub(crate) fn no_end(limit: Duration) -> String {
    format!("{NO_END} within {} s", limit.as_secs())
}

/// Tells whether a test failed because it did not end.
pub(crate) fn is_hung(why: &str) -> bool {
    why.starts_with(NO_END)
}

/// Tells whether there was no time for a test.
pub(crate) fn is_over(why: &str) -> bool {
    why.ends_with(OVER)
}

impl State {
    fn line(&self) -> String {
        let State { total, done, failed, running, .. } = self;
        let named = |(test, since): (&String, &Instant)| {
            format!("{test} (for {} s)", since.elapsed().as_secs())
        };
        let named: Vec<String> = running.iter().take(NAMED_MAX).map(named).collect();
        let running = if named.is_empty() { "none".to_owned() } else { named.join(", ") };
        format!("{done} of {total}, {failed} failed; running: {running}")
    }

    fn slow(&self) -> String {
        let named = |(took, test): &(Duration, String)| format!("{test} ({} s)", took.as_secs());
        let named: Vec<String> = self.slowest.iter().map(named).collect();
        format!("took longest: {}", named.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_running_tests_and_the_limit_names_the_slowest() {
        let progress = Progress::new("suite on tasklets".into(), 3, Duration::ZERO);
        progress.begin("a");
        progress.end("a", None);
        progress.begin("b");
        progress.end("b", Some("it failed"));
        progress.begin("c");
        let line = progress.state().line();
        assert_eq!(line, "2 of 3, 1 failed; running: c (for 0 s)");
        assert!(progress.state().slow().contains("a (0 s)"));
        std::thread::sleep(Duration::from_millis(1));
        assert!(progress.report());
        let over = progress.over("it ran");
        assert!(is_hung(&over) && is_over(&over));
        assert!(is_hung(&no_end(EVERY)) && !is_over(&no_end(EVERY)) && !is_hung("it failed"));
    }
}
