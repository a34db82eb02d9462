//! Calls that pinned their thread: the longest of those that the library's watchdog has found.

use std::fmt;
use std::panic::Location;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use overlapped::task::{Stall, Stalled};
use syscalls::Sysno;

/// A tasklet that has pinned its thread, so that no other tasklet could run there.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Pinned {
    /// The system call in which it waited. `None`: it computed, or `/proc` did not say.
    pub call: Option<&'static str>,
    /// The tasklet's number.
    pub tasklet: u64,
    /// The tasklet's name.
    pub name: Option<String>,
    /// The call that spawned it.
    pub spawned_at: &'static Location<'static>,
    /// The time for which it has pinned its thread, at least.
    pub time: Duration,
    /// A backtrace from when the limit was passed: one line for each function, innermost first.
    pub trace: String,
    /// True while it still pins the thread.
    pub lasts: bool,
}

impl fmt::Display for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tasklet {}", self.tasklet)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        let call = self.call.unwrap_or("a computation");
        let more = if self.lasts { ", so far" } else { "" };
        write!(f, " pinned its thread by {call} for {:.1?}{more}", self.time)?;
        write!(f, "; spawned at {}, it was here:{}", self.spawned_at, self.trace)
    }
}

/// The number of stalls that are kept, the longest ones.
const KEPT: usize = 16;

struct Seen {
    count: u64,
    longest: Vec<Pinned>,
}

static SEEN: Mutex<Seen> = Mutex::new(Seen { count: 0, longest: Vec::new() });

/// True if stalls are not to be logged.
pub(crate) static QUIET: AtomicBool = AtomicBool::new(false);

fn lock() -> MutexGuard<'static, Seen> {
    SEEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Records what the watchdog reports, on its thread. Returns whether it is to be logged, too.
pub(crate) fn record_stall(stall: &Stall) -> bool {
    match stall {
        Stall::Lasts(stalled) => record_start(stalled),
        Stall::Over { tasklet, time, .. } => {
            let mut seen = lock();
            let is_it = |one: &&mut Pinned| one.lasts && one.tasklet == *tasklet;
            if let Some(one) = seen.longest.iter_mut().find(is_it) {
                (one.time, one.lasts) = (one.time.max(*time), false);
            }
            seen.sort();
        }
        _ => {}
    }
    !QUIET.load(Relaxed)
}

fn record_start(stalled: &Stalled) {
    let mut seen = lock();
    let is_it = |one: &&mut Pinned| one.lasts && one.tasklet == stalled.tasklet;
    if stalled.is_again
        && let Some(one) = seen.longest.iter_mut().find(is_it)
    {
        one.time = stalled.time;
        return seen.sort();
    }
    if !stalled.is_again {
        seen.count += 1;
        // The end of an earlier stall of this tasklet has been missed.
        seen.longest.iter_mut().filter(is_lasting_for(stalled)).for_each(|one| one.lasts = false);
    }
    drop(seen);
    // The backtrace takes milliseconds, so the lock is free meanwhile.
    let trace = stalled.trace();
    let number = stalled.system_call.and_then(|number| usize::try_from(number).ok());
    let pinned = Pinned {
        call: number.and_then(Sysno::new).map(|call| call.name()),
        tasklet: stalled.tasklet,
        name: stalled.name.clone(),
        spawned_at: stalled.spawned_at,
        time: stalled.time,
        trace,
        lasts: true,
    };
    let mut seen = lock();
    seen.longest.push(pinned);
    seen.sort();
}

fn is_lasting_for(stalled: &Stalled) -> impl FnMut(&&mut Pinned) -> bool {
    |one| one.lasts && one.tasklet == stalled.tasklet
}

impl Seen {
    /// Sorts by length, the longest first. A stall that still lasts comes first: its time is not
    /// known yet.
    fn sort(&mut self) {
        self.longest.sort_by_key(|one| std::cmp::Reverse((one.lasts, one.time)));
        self.longest.truncate(KEPT);
    }
}

/// Returns the number of stalls so far, and the longest ones, the longest first.
pub(super) fn seen() -> (u64, Vec<Pinned>) {
    let seen = lock();
    let mut longest = seen.longest.clone();
    longest.sort_by_key(|one| std::cmp::Reverse(one.time));
    (seen.count, longest)
}
