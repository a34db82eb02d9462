//! The watchdog: tells of a tasklet that holds its thread, while nobody else there can run.
//!
//! ```text
//! scheduler ──▶ Pulse: odd while somebody runs   two stores per switch, one of them for itself
//!                 ▲ read now and then
//! watchdog thread ┤ the same for longer than the limit: ask (snapshot.rs)
//!                 ▼
//! a signal to that thread ──▶ its handler copies registers and stack, no more
//!                 ▼
//! unwind.rs, symbols, one warning               all on the watchdog's own thread
//! ```
//!
//! One thread per process, which begins with the first scheduler that wants to be watched, and ends
//! after the last. It sleeps for a quarter of the shortest limit, so what it says is late by that
//! much at most, and a moment when the whole process stood still is not counted.
//!
//! **Why the handler only copies.** Walking a stack at an arbitrary instruction may need locks that
//! the interrupted code holds, and trusts tables that do not describe every instruction (a switch's
//! least of all): a wrong step would read anywhere. From a copy a wrong step is a short trace.
//!
//! **The registry's lock** is held while a pulse is read and while a thread is signalled, so both
//! are there: a scheduler leaves the registry under that lock before it ends. It is not held while
//! waiting for an answer, nor while telling or asking the subscriber, which is the user's code.

mod snapshot;
#[cfg(test)]
mod tests;
mod unwind;

use std::fmt::Write as _;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::clock;
use super::foreign::{names, quietly};
pub(crate) use snapshot::{Held, Lookup};
use snapshot::{Snapshot, Target};

/// What a scheduler shows of itself: a count that is odd while somebody runs. Only its own thread
/// writes.
#[derive(Debug, Default)]
pub(crate) struct Pulse(AtomicU64);

impl Pulse {
    /// Somebody begins to run, or comes to rest.
    #[inline(always)]
    pub(crate) fn beat(&self) {
        self.0.store(self.count() + 1, Relaxed);
    }

    /// Somebody else begins to run at once.
    #[inline(always)]
    pub(crate) fn pass(&self) {
        self.0.store(self.count() + 2, Relaxed);
    }

    /// How often somebody began to run.
    pub(crate) fn switches(&self) -> u64 {
        self.count().div_ceil(2)
    }

    #[inline(always)]
    fn count(&self) -> u64 {
        self.0.load(Relaxed)
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
    /// Its pulse when it was looked at.
    count: u64,
    /// Since when it is that.
    since: u64,
    /// When it is told of next.
    tell_at: u64,
    /// Who it was told of.
    told: Option<u64>,
}

// SAFETY: the pulse is read by any thread, and it is there as long as the entry is.
unsafe impl Send for Entry {}

#[derive(Default)]
struct Registry {
    entries: Vec<Entry>,
    is_watching: bool,
    numbers: u64,
}

static REGISTRY: Mutex<Registry> =
    Mutex::new(Registry { entries: Vec::new(), is_watching: false, numbers: 0 });

fn registry() -> MutexGuard<'static, Registry> {
    REGISTRY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has the calling thread's scheduler watched until the result is dropped: who runs for longer than
/// `limit` is told of. `lookup` is called on this thread, in a signal handler.
///
/// # Errors
/// For want of a thread.
///
/// # Safety
/// `pulse` stays where it is until the result is dropped, which this thread does. `lookup` is
/// async-signal-safe, and what it returns is valid until the handler returns.
pub(crate) unsafe fn register(
    pulse: &Pulse,
    limit: Duration,
    lookup: Lookup,
) -> io::Result<Watched> {
    snapshot::install(lookup)?;
    let mut registry = registry();
    if !registry.is_watching {
        thread::Builder::new().name("overlapped-watch".to_owned()).spawn(watch)?;
        registry.is_watching = true;
    }
    let number = registry.numbers;
    registry.numbers += 1;
    let limit = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX).max(1);
    let (target, pulse) = (Target::this_thread(), &raw const *pulse);
    registry.entries.push(Entry {
        number,
        pulse,
        target,
        limit,
        count: 0,
        since: 0,
        tell_at: u64::MAX,
        told: None,
    });
    Ok(Watched { number })
}

impl Drop for Watched {
    fn drop(&mut self) {
        registry().entries.retain(|entry| entry.number != self.number);
    }
}

/// The shortest and the longest time between two looks, in nanoseconds.
const LOOKS_NS: (u64, u64) = (1_000_000, 1_000_000_000);

/// What the watchdog's thread does until nobody is left to be watched.
fn watch() {
    let mut last = clock::nanos();
    let mut pause = 0;
    loop {
        let now = clock::nanos();
        // Nobody ran, this thread neither: the process was stopped, or the machine is overloaded.
        let stood_still = now - last > 4 * pause.max(LOOKS_NS.0);
        let is_heard = quietly(|| tracing::enabled!(tracing::Level::WARN)).unwrap_or(true);
        let mut registry = registry();
        if registry.entries.is_empty() {
            registry.is_watching = false;
            return;
        }
        let shortest = registry.entries.iter().map(|entry| entry.limit).min();
        pause = (shortest.unwrap_or(0) / 4).clamp(LOOKS_NS.0, LOOKS_NS.1);
        let mut stalls = Vec::new();
        for at in 0..registry.entries.len() {
            if let Some(stall) = look(&mut registry.entries[at], now, stood_still, is_heard) {
                stalls.push(stall);
                if matches!(stalls.last(), Some(Stall::Lasts { .. })) {
                    // There is one place for answers: the next one is asked in the next look.
                    break;
                }
            }
        }
        drop(registry);
        stalls.into_iter().for_each(|stall| _ = quietly(|| tell(stall)));
        last = clock::nanos();
        thread::sleep(Duration::from_nanos(pause));
    }
}

/// What is worth telling.
enum Stall {
    /// Its thread has been asked.
    Lasts { number: u64, count: u64, nanos: u64 },
    /// Who, and how long it was at least.
    Over { id: u64, nanos: u64 },
}

/// One look at one scheduler. `is_heard`: somebody wants warnings.
fn look(entry: &mut Entry, now: u64, stood_still: bool, is_heard: bool) -> Option<Stall> {
    // SAFETY: the scheduler takes its entry away, under the lock that the caller holds, before its
    // pulse goes.
    let pulse = unsafe { &*entry.pulse };
    let count = pulse.count();
    if count.is_multiple_of(2) || count != entry.count {
        let over = entry.told.take().map(|id| Stall::Over { id, nanos: now - entry.since });
        (entry.count, entry.since) = (count, now);
        entry.tell_at = now.saturating_add(entry.limit);
        return over;
    }
    if stood_still {
        entry.tell_at = entry.tell_at.max(now.saturating_add(entry.limit));
        return None;
    }
    if now < entry.tell_at {
        return None;
    }
    let nanos = now - entry.since;
    // Again when it has lasted twice as long.
    entry.tell_at = now.saturating_add(nanos.max(1));
    // SAFETY: the entry is in the registry, so its thread has not left its scheduler.
    let asked = is_heard && unsafe { snapshot::ask(entry.target) };
    asked.then_some(Stall::Lasts { number: entry.number, count, nanos })
}

fn tell(stall: Stall) {
    match stall {
        Stall::Over { id, nanos } => {
            let time = Duration::from_nanos(nanos);
            tracing::info!("tasklet {id} gave way after {time:.1?} or more");
        }
        Stall::Lasts { number, count, nanos } => {
            let answer = snapshot::answer();
            let held = answer.as_ref().and_then(|snapshot| snapshot.held);
            let mut registry = registry();
            let is_it = |entry: &&mut Entry| entry.number == number && entry.count == count;
            if let Some(entry) = registry.entries.iter_mut().find(is_it) {
                entry.told = held.map(|(id, _)| id);
            }
            drop(registry);
            warn(answer.as_deref(), Duration::from_nanos(nanos));
        }
    }
}

fn warn(snapshot: Option<&Snapshot>, time: Duration) {
    const WHAT: &str = "has held its thread, so that nobody else there could run, for";
    let Some(snapshot) = snapshot else {
        tracing::warn!("a tasklet {WHAT} {time:.1?}; its thread lets no SIGURG through");
        return;
    };
    let Some((id, _)) = snapshot.held else {
        return; // It has given way in the meantime.
    };
    let name = snapshot.name().map(|name| format!(" '{name}'")).unwrap_or_default();
    // A bug in there costs the trace, not the watchdog.
    let addresses = catch_unwind(AssertUnwindSafe(|| unwind::walk(snapshot))).unwrap_or_default();
    let trace = trace(&addresses);
    tracing::warn!("tasklet {id}{name} {WHAT} {time:.1?}:{trace}");
}

/// One line for each function, innermost first.
fn trace(addresses: &[usize]) -> String {
    let mut text = String::new();
    for &address in addresses {
        let names = names(address);
        for name in &names {
            let _ = write!(text, "\n    {address:#x} {name}");
        }
        if names.is_empty() {
            let _ = write!(text, "\n    {address:#x}");
        }
    }
    text
}
