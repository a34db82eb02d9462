//! Suite `wake`: a value goes from one thread to a task on another, which answers.
//!
//! Nobody is pinned: both threads may use both cores. In `1` and `1000` both sides are tasks, each
//! in a scheduler of its own; in `thread_1` and `thread_1000` a plain thread asks. The number says
//! how many values are under way at the same time.

use crate::harness::child::Report;
use crate::subjects::{Name, wake};
use crate::tasklets::ns_each;
use std::time::{Duration, Instant};

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 4] = ["1", "1000", "thread_1", "thread_1000"];

/// Who asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    /// A task in a scheduler of its own.
    Task,
    /// A thread without a scheduler.
    Thread,
}

/// One case of one subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = wake::of(name)?;
    let (asker, in_flight) = match case.strip_prefix("thread_") {
        Some(in_flight) => (Asker::Thread, in_flight),
        None => (Asker::Task, case),
    };
    let in_flight = in_flight.parse().map_err(|_| "no number of values")?;
    let budget = Duration::from_millis(if quick { 200 } else { 800 });
    let ns = ns_each(budget, 1000, |n| subject.wake(asker, in_flight, n))?;
    let mut report = Report::default();
    report.push(case, "1/s", 1e9 / ns);
    report.notes.push(subject.remark().into());
    Ok(report)
}

/// The asker's count of what to send and to expect.
pub(crate) struct Questions {
    sent: u64,
    all: u64,
    start: Instant,
}

impl Questions {
    /// The first ones, and the clock.
    pub(crate) fn begin(in_flight: u64, all: u64) -> (Questions, std::ops::Range<u64>) {
        let first = 0..in_flight.min(all);
        (Questions { sent: first.end, all, start: Instant::now() }, first)
    }

    /// What to send when another answer has come.
    pub(crate) fn next(&mut self) -> Option<u64> {
        let next = (self.sent < self.all).then_some(self.sent);
        self.sent += u64::from(next.is_some());
        next
    }

    /// The time since the beginning.
    pub(crate) fn took(&self) -> Duration {
        self.start.elapsed()
    }
}
