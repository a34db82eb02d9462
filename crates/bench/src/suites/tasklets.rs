//! Suite `tasklets`: spawning, switching, channels, and the memory of parked tasks.
//!
//! Each measured pass is preceded by shorter ones in the same process, which warm up pools and
//! caches.

use crate::harness::child::Report;
use crate::harness::memory;
use crate::harness::passes::ns_each;
use crate::names::Name;
use crate::subjects;
use crate::traits::tasks::Subject;
use std::time::Duration;

/// Lists the names of the cases, in their order.
pub(crate) fn cases(quick: bool) -> Vec<&'static str> {
    let mut cases = vec![
        "spawn_join",
        "yield_2",
        "yield_1000",
        "yield_100000",
        "channel_round_trip",
        "parked_10000",
        "parked_100000",
    ];
    if !quick {
        cases.push("parked_1000000");
    }
    cases
}

/// Measures a case of a subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = subjects::by_name(name);
    let budget = Duration::from_millis(if quick { 100 } else { 400 });
    let mut report = Report::default();
    match case.rsplit_once('_') {
        _ if case == "spawn_join" => {
            let ns = ns_each(budget, 1000, |n| subject.spawn_join(n))?;
            report.push(case, "ns", ns);
        }
        _ if case == "channel_round_trip" => {
            let ns = ns_each(budget, 1000, |n| subject.channel_round_trip(n))?;
            report.push(case, "ns", ns);
            report.notes.extend(subject.remark().map(String::from));
        }
        Some(("yield", tasks)) => {
            let tasks: usize = tasks.parse().map_err(|_| "the case names no number of tasks")?;
            room_for(&*subject, tasks)?;
            let rounds = (10_000 / tasks as u64).max(4);
            let ns = ns_each(budget, rounds, |rounds| subject.yields(tasks, rounds))?;
            report.push(case, "ns", ns / tasks as f64);
        }
        Some(("parked", tasks)) => {
            let tasks: usize = tasks.parse().map_err(|_| "the case names no number of tasks")?;
            room_for(&*subject, tasks)?;
            let added = subject.parked(tasks)?;
            report.push(case, "KiB", (added.rss_kib + added.page_tables_kib) / tasks as f64);
            report.notes.push(format!(
                "{tasks} parked: {:.0} MiB resident, {:.1} MiB of page tables, {} mappings in all",
                added.rss_kib / 1024.0,
                added.page_tables_kib / 1024.0,
                added.mappings
            ));
        }
        _ => return Err(format!("no case {case}")),
    }
    Ok(report)
}

/// Refuses a number of tasks that would drive the machine into swapping or the OOM killer.
fn room_for(subject: &dyn Subject, tasks: usize) -> Result<(), String> {
    let needed = tasks as f64 * subject.parked_kib_estimate();
    let available = memory::available_kib();
    if needed > available * 0.8 {
        return Err(format!(
            "{tasks} tasks need about {:.1} GiB, {:.1} GiB are available",
            needed / 1048576.0,
            available / 1048576.0
        ));
    }
    Ok(())
}
