//! Suite `tasklets`: spawning, switching, channels, and the memory of parked tasks.
//!
//! The harness decides how often, a subject does it and says how long it took. Each measured
//! pass is preceded by shorter ones in the same process, which warm up pools and caches.

use crate::harness::child::Report;
use crate::harness::memory::{self, Memory};
use crate::subjects::Name;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The names of the cases, in their order.
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

/// One case of one subject, in this process.
pub(crate) fn measure(name: Name, case: &str, quick: bool) -> Result<Report, String> {
    let subject = name.subject();
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
            let tasks: usize = tasks.parse().map_err(|_| "no number of tasks")?;
            room_for(name, tasks)?;
            let rounds = (10_000 / tasks as u64).max(4);
            let ns = ns_each(budget, rounds, |rounds| subject.yields(tasks, rounds))?;
            report.push(case, "ns", ns / tasks as f64);
        }
        Some(("parked", tasks)) => {
            let tasks: usize = tasks.parse().map_err(|_| "no number of tasks")?;
            room_for(name, tasks)?;
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

/// Repeats `pass` with more and more items until it lasts as long as the budget; nanoseconds an
/// item in the last pass.
pub(crate) fn ns_each(
    budget: Duration,
    mut items: u64,
    mut pass: impl FnMut(u64) -> Result<Duration, String>,
) -> Result<f64, String> {
    loop {
        let took = pass(items)?;
        if took * 10 >= budget * 8 {
            return Ok(took.as_nanos() as f64 / items as f64);
        }
        let more = budget.as_secs_f64() / took.as_secs_f64().max(1e-9);
        items = (items as f64 * more.clamp(1.3, 50.0)) as u64 + 1;
    }
}

/// Refuses what would drive the machine into swapping or the OOM killer.
fn room_for(name: Name, tasks: usize) -> Result<(), String> {
    let needed = tasks as f64 * name.subject().parked_kib_estimate();
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

/// Times the yields of many tasks, without their birth and death.
///
/// Every task yields a few times before [`begin`](Self::begin) and after [`end`](Self::end): with
/// a fair queue all have begun before the first ends, and none is gone when the last ends. Where
/// the queue is not fair, nobody takes turns, and there is no result.
pub(crate) struct YieldClock {
    tasks: usize,
    beginners: AtomicUsize,
    enders: AtomicUsize,
    /// How many had begun when the first one ended.
    in_turn: AtomicUsize,
    begun: OnceLock<Instant>,
    took: OnceLock<Duration>,
}

/// Yields before the measured ones, and again after them.
pub(crate) const YIELDS_AROUND: u64 = 2;

impl YieldClock {
    pub(crate) fn new(tasks: usize) -> YieldClock {
        YieldClock {
            tasks,
            beginners: AtomicUsize::new(0),
            enders: AtomicUsize::new(0),
            in_turn: AtomicUsize::new(0),
            begun: OnceLock::new(),
            took: OnceLock::new(),
        }
    }

    pub(crate) fn begin(&self) {
        if self.beginners.fetch_add(1, Ordering::Relaxed) == 0 {
            self.begun.get_or_init(Instant::now);
        }
    }

    pub(crate) fn end(&self) {
        let earlier = self.enders.fetch_add(1, Ordering::Relaxed);
        if earlier == 0 {
            self.in_turn.store(self.beginners.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        if earlier + 1 == self.tasks {
            let begun = self.begun.get_or_init(Instant::now);
            self.took.get_or_init(|| begun.elapsed());
        }
    }

    /// The time from the first begin to the last end.
    ///
    /// # Errors
    /// The tasks did not take turns.
    pub(crate) fn took(&self) -> Result<Duration, String> {
        let in_turn = self.in_turn.load(Ordering::Relaxed);
        if in_turn < self.tasks {
            return Err(not_in_turn(in_turn, self.tasks));
        }
        self.took.get().copied().ok_or_else(|| "not all tasks have ended".into())
    }
}

/// Why there is no figure for yields.
pub(crate) fn not_in_turn(in_turn: usize, tasks: usize) -> String {
    format!("its yield does not take turns: {in_turn} of {tasks} had begun when the first ended")
}

/// Memory before the tasks; once all are parked, what they added.
pub(crate) struct Parking {
    before: Memory,
}

impl Parking {
    pub(crate) fn begin() -> Parking {
        Parking { before: Memory::now() }
    }

    pub(crate) fn full(&self) -> Memory {
        Memory::now().since(self.before)
    }
}
