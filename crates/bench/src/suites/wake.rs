//! Suite `wake`: a value goes from one thread to a task on another, which answers.
//!
//! Nothing is pinned: both threads may use both cores. In `1` and `1000` both sides are tasks, each
//! in a scheduler of its own; in `thread_1` and `thread_1000` a plain thread asks. The number is
//! that of the values that are under way at the same time.

use crate::harness::child::Report;
use crate::harness::passes::ns_each;
use crate::names::Name;
use crate::subjects::wake;
use crate::traits::wake::Asker;
use std::time::Duration;

/// The names of the cases, in their order.
pub(crate) const CASES: [&str; 4] = ["1", "1000", "thread_1", "thread_1000"];

/// Measures a case of a subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = wake::by_name(name)?;
    let (asker, in_flight) = match case.strip_prefix("thread_") {
        Some(in_flight) => (Asker::Thread, in_flight),
        None => (Asker::Task, case),
    };
    let in_flight = in_flight.parse().map_err(|_| "the case names no number of values")?;
    let budget = Duration::from_millis(if quick { 200 } else { 800 });
    let ns = ns_each(budget, 1000, |n| subject.wake(asker, in_flight, n))?;
    let mut report = Report::default();
    report.push(case, "1/s", 1e9 / ns);
    report.notes.push(subject.remark().into());
    Ok(report)
}
