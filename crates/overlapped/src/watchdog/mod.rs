//! The watchdog: reports a tasklet that holds its thread, so that no other tasklet there can run.
//!
//! ```text
//! scheduler ──▶ Pulse: odd while a tasklet runs   two stores per switch, one of them for itself
//!                 ▲ read now and then
//! watchdog thread ┤ the same for longer than the limit: ask (snapshot/)
//!                 ▼
//! a signal to that thread ──▶ its handler copies registers and stack; on request it lists tasklets
//!                 ▼
//! teller thread (tell.rs): unwind.rs, symbols, one warning (report.rs)
//! ```
//!
//! Dumps by signal (dump.rs) ask in the same way, from a thread of their own.
//!
//! The watchdog is one thread per process. It begins with the first scheduler that is to be
//! watched, and ends after the last. It sleeps for a quarter of the shortest limit, so a time that
//! it measures is too short by that much at most, and never too long. A time in which the whole
//! process stood still is not counted. The teller does the work that takes long: symbols, and the
//! program's own code.
//!
//! **Why the handler only copies.** Walking a stack at an arbitrary instruction may need locks that
//! the interrupted code holds, and trusts tables that do not describe every instruction (a switch's
//! least of all): a wrong step would read anywhere. In a copy, a wrong step only makes the trace
//! short. The list of tasklets can be read in the handler, because the scheduler writes it in an
//! order that allows it (`sched/observer/describe`).
//!
//! **The registry's lock** is held while a pulse is read and while a thread is signalled, so both
//! are there: a scheduler leaves the registry under that lock before it ends. It is not held while
//! waiting for an answer, nor while telling the subscriber, which is the user's code; nor is the
//! lock of questions ([`asking`]).

mod dump;
mod page;
mod report;
mod snapshot;
mod stall;
mod tell;
#[cfg(test)]
mod tests;
#[cfg(target_os = "linux")]
mod unwind;
#[cfg(not(target_os = "linux"))]
mod unwind {
    /// Walks nothing: on other systems no registers are read, so a walk has no beginning.
    pub(super) fn walk(_: &super::Snapshot) -> Vec<usize> {
        Vec::new()
    }
}

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::sys::clock;
use crate::sys::lock::{Mutex, MutexGuard};
use crate::sys::per_process::PerProcess;
use crate::sys::signal::sigpipe;
use crate::sys::thread::{Target, current, sleep, start_helper, system_call_of};
#[cfg(all(test, not(miri)))]
pub(crate) use dump::pages;
pub(crate) use dump::{dump_on, running_on, signal_of};
pub(crate) use page::{Page, Text};
pub(crate) use report::warn_aside;
use snapshot::Snapshot;
#[cfg(unix)]
pub(crate) use snapshot::is_handler;
pub(crate) use snapshot::{Held, Lookup};
pub(crate) use stall::OnStall;
pub use stall::{Stall, Stalled};
use tell::{News, Teller};

/// A scheduler's sign of life: a count that is odd while a tasklet runs. Only its own thread
/// writes.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    count: AtomicU64,
    /// The time when the first tasklet ended and others lived on; 0: not yet.
    first_ended_at: AtomicU64,
}

impl Pulse {
    /// Counts a start or a stop of a tasklet.
    #[inline(always)]
    pub(crate) fn beat(&self) {
        self.count.store(self.count() + 1, Relaxed);
    }

    /// Counts a switch from one tasklet to the next.
    #[inline(always)]
    pub(crate) fn pass(&self) {
        self.count.store(self.count() + 2, Relaxed);
    }

    /// Returns the number of times that a tasklet began to run.
    pub(crate) fn switches(&self) -> u64 {
        self.count().div_ceil(2)
    }

    /// Records that the first tasklet has ended, and `run` waits for the others. Later calls change
    /// nothing.
    pub(crate) fn first_has_ended(&self) {
        if self.first_ended_at().is_none() {
            self.first_ended_at.store(clock::nanos(), Relaxed);
        }
    }

    fn first_ended_at(&self) -> Option<u64> {
        let time = self.first_ended_at.load(Relaxed);
        (time != 0).then_some(time)
    }

    #[inline(always)]
    fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }
}

/// A scheduler in the registry; leaves it when dropped.
pub(crate) struct Watched {
    number: u64,
}

/// One scheduler, as the watchdog sees it.
struct Entry {
    number: u64,
    pulse: *const Pulse,
    target: Target,
    limit: u64,
    /// The program's function for its stalls.
    on_stall: Option<OnStall>,
    /// The count of its pulse at the last check.
    count: u64,
    /// The time at which that count was seen first.
    since: u64,
    /// The time at which that count was seen last.
    seen: u64,
    /// The time of the next report.
    tell_at: u64,
    /// The tasklet that was reported.
    told: Option<u64>,
    /// The tasklets that outlive the first one were reported.
    told_of_remains: bool,
    /// The thread's name.
    thread: Box<str>,
}

/// The number of the next entry. A child of fork(2) goes on with it, since a scheduler of the
/// parent's may leave the registry there.
static NUMBERS: AtomicU64 = AtomicU64::new(0);

/// The limit of a scheduler that is registered only for dumps.
const NO_LIMIT: u64 = u64::MAX;

// SAFETY: the pulse is read by any thread, and it is there as long as the entry is.
unsafe impl Send for Entry {}

#[derive(Default)]
struct Registry {
    entries: Vec<Entry>,
    is_watching: bool,
}

/// The locks of one process. In a child of fork(2) a thread of the parent's may hold them for ever.
struct Locks {
    registry: Mutex<Registry>,
    asking: Mutex<()>,
}

static LOCKS: PerProcess<Locks> = PerProcess::new(forget_parent);

/// Forgets the parent's schedulers and its watchdog, in a child of fork(2), which has neither.
/// Async-signal-safe.
extern "C" fn forget_parent() {
    LOCKS.forget();
    snapshot::forget_question();
}

fn locks() -> &'static Locks {
    LOCKS.get(|| Locks { registry: Mutex::new(Registry::default()), asking: Mutex::new(()) })
}

/// Locks questions. The lock is held from a question until its answer, since there is one place for
/// answers.
fn asking() -> MutexGuard<'static, ()> {
    locks().asking.lock()
}

fn registry() -> MutexGuard<'static, Registry> {
    locks().registry.lock()
}

/// Registers the calling thread's scheduler until the result is dropped. A tasklet that runs for
/// longer than `limit` is reported, and dumps show all tasklets. `lookup` is called on this thread,
/// in a signal handler.
///
/// # Errors
/// No thread could be started.
///
/// # Safety
/// `pulse` stays where it is until the result is dropped, which this thread does. `lookup` is
/// async-signal-safe, and what it returns is valid until the handler returns.
pub(crate) unsafe fn register(
    pulse: &Pulse,
    limit: Option<Duration>,
    on_stall: Option<OnStall>,
    lookup: Lookup,
) -> io::Result<Watched> {
    let mut registry = registry();
    snapshot::install(lookup)?;
    if limit.is_some() && !registry.is_watching {
        start_helper("overlapped-wdog", watch)?;
        registry.is_watching = true;
    }
    let number = NUMBERS.fetch_add(1, Relaxed);
    let nanos = |limit: Duration| u64::try_from(limit.as_nanos()).unwrap_or(NO_LIMIT).max(1);
    let limit = limit.map_or(NO_LIMIT, nanos);
    let thread = current().name().unwrap_or("without a name").into();
    let (target, pulse) = (Target::this_thread(), &raw const *pulse);
    registry.entries.push(Entry {
        number,
        pulse,
        target,
        limit,
        on_stall,
        count: 0,
        since: 0,
        seen: 0,
        tell_at: u64::MAX,
        told: None,
        told_of_remains: false,
        thread,
    });
    Ok(Watched { number })
}

impl Drop for Watched {
    fn drop(&mut self) {
        registry().entries.retain(|entry| entry.number != self.number);
    }
}

/// The shortest and the longest time between two checks, in nanoseconds.
const LOOKS_NS: (u64, u64) = (1_000_000, 1_000_000_000);

/// The time within which a thread must answer.
const ANSWER_MAX: Duration = Duration::from_millis(100);

/// Runs the watchdog's thread until no scheduler is left to be watched.
fn watch() {
    let _sigpipe = sigpipe::block();
    let mut teller = Teller::default();
    let mut last = clock::nanos();
    let mut pause = 0;
    loop {
        let now = clock::nanos();
        // This thread did not run either: the process was stopped, or the machine is overloaded.
        let stood_still = now - last > 4 * pause.max(LOOKS_NS.0);
        let asking = asking();
        let mut registry = registry();
        let shortest = registry.entries.iter().map(|entry| entry.limit).min().unwrap_or(NO_LIMIT);
        if shortest == NO_LIMIT {
            registry.is_watching = false;
            return;
        }
        pause = (shortest / 4).clamp(LOOKS_NS.0, LOOKS_NS.1);
        let mut findings = Vec::new();
        for entry in &mut registry.entries {
            findings.extend(look(entry, now, stood_still));
            if findings.last().is_some_and(Finding::has_asked) {
                // There is one place for answers, so the next thread is asked at the next check.
                break;
            }
        }
        drop(registry);
        let asked = findings.last().is_some_and(Finding::has_asked);
        let mut answer = if asked { snapshot::answer(ANSWER_MAX) } else { None };
        drop(asking);
        for finding in findings {
            let answer = if finding.has_asked() { answer.take() } else { None };
            teller.tell(news_of(finding, answer));
        }
        last = clock::nanos();
        sleep(Duration::from_nanos(pause));
    }
}

/// A finding that is worth a report.
enum Finding {
    /// A tasklet holds its thread, which has been asked for a trace. `system_call`: the thread
    /// waits in it.
    Lasts { number: u64, count: u64, nanos: u64, system_call: Option<i64> },
    /// The tasklet has released its thread after this time at least.
    Over { id: u64, nanos: u64, on_stall: Option<OnStall> },
    /// The first tasklet has ended and others have not. The thread has been asked for a list of
    /// them.
    Remains { nanos: u64 },
}

impl Finding {
    fn has_asked(&self) -> bool {
        !matches!(self, Finding::Over { .. })
    }
}

/// Checks one scheduler once.
fn look(entry: &mut Entry, now: u64, stood_still: bool) -> Option<Finding> {
    // SAFETY: a scheduler removes its entry before its pulse is freed, under the lock that the
    // caller holds.
    let pulse = unsafe { &*entry.pulse };
    let count = pulse.count();
    if count.is_multiple_of(2) || count != entry.count {
        // The tasklet released its thread at some time after it was last seen to hold it.
        let (nanos, on_stall) = (entry.seen - entry.since, entry.on_stall);
        let over = entry.told.take().map(|id| Finding::Over { id, nanos, on_stall });
        (entry.count, entry.since, entry.seen) = (count, now, now);
        entry.tell_at = now.saturating_add(entry.limit);
        return over.or_else(|| look_for_remains(entry, pulse, now));
    }
    entry.seen = now;
    if stood_still {
        entry.tell_at = entry.tell_at.max(now.saturating_add(entry.limit));
        return None;
    }
    if now < entry.tell_at {
        return None;
    }
    let nanos = now - entry.since;
    // The next report comes when the stall has lasted twice as long.
    entry.tell_at = now.saturating_add(nanos.max(1));
    // This is read before the question, whose signal interrupts the call.
    let system_call = system_call_of(entry.target.number());
    // SAFETY: the entry is in the registry, so its thread has not left its scheduler.
    let asked = unsafe { snapshot::ask(entry.target, false) };
    asked.then_some(Finding::Lasts { number: entry.number, count, nanos, system_call })
}

/// Finds out, once, whether the first tasklet has ended longer ago than the limit while others go
/// on.
fn look_for_remains(entry: &mut Entry, pulse: &Pulse, now: u64) -> Option<Finding> {
    let nanos = now.saturating_sub(pulse.first_ended_at()?);
    if entry.told_of_remains || nanos < entry.limit {
        return None;
    }
    entry.told_of_remains = true;
    // SAFETY: the entry is in the registry, so its thread has not left its scheduler.
    let asked = unsafe { snapshot::ask(entry.target, true) };
    asked.then_some(Finding::Remains { nanos })
}

/// Records the tasklet that is reported, and puts the report together.
fn news_of(finding: Finding, answer: Option<Box<Snapshot>>) -> Option<News> {
    match finding {
        Finding::Over { id, nanos, on_stall } => {
            Some(News::Over { tasklet: id, time: Duration::from_nanos(nanos), on_stall })
        }
        Finding::Lasts { number, count, nanos, system_call } => {
            let held = answer.as_ref().and_then(|snapshot| snapshot.held);
            let (mut on_stall, mut is_again) = (None, false);
            let mut registry = registry();
            let is_it = |entry: &&mut Entry| entry.number == number && entry.count == count;
            if let Some(entry) = registry.entries.iter_mut().find(is_it) {
                let id = held.map(|(id, _)| id);
                is_again = id.is_some() && entry.told == id;
                (entry.told, on_stall) = (id, entry.on_stall);
            }
            drop(registry);
            let time = Duration::from_nanos(nanos);
            let Some(snapshot) = answer else { return Some(News::NoAnswer { time }) };
            // Without a tasklet in the answer, the tasklet has released its thread in the meantime.
            let stalled = Stalled::new(snapshot, time, system_call, is_again)?;
            Some(News::Lasts { stalled, on_stall })
        }
        Finding::Remains { nanos } => {
            Some(News::Remains { time: Duration::from_nanos(nanos), answer })
        }
    }
}
