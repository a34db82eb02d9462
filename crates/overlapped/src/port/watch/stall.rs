//! Stalls that the watchdog finds, for programs that are told of them.

use std::fmt;
use std::panic::Location;
use std::time::Duration;

use super::report::trace;
use super::snapshot::Snapshot;

/// A tasklet that holds its thread, by [`Config::on_stall`](crate::Config::on_stall).
#[derive(Debug)]
#[non_exhaustive]
pub enum Stall {
    /// It has held its thread for longer than the limit, so that nobody else there could run. Told
    /// again when that has lasted twice as long.
    Lasts(Stalled),
    /// It has given way.
    #[non_exhaustive]
    Over {
        /// The tasklet's number.
        tasklet: u64,
        /// The time for which it has held its thread, at least.
        time: Duration,
    },
}

/// The tasklet that a thread runs, and its place in the code.
#[non_exhaustive]
pub struct Stalled {
    /// Its number.
    pub tasklet: u64,
    /// Its name.
    pub name: Option<String>,
    /// The call that spawned it.
    pub spawned_at: &'static Location<'static>,
    /// The time for which it has held its thread so far.
    pub time: Duration,
    /// The number of the system call in which its thread waits. `None`: it computes, or `/proc`
    /// does not say.
    pub system_call: Option<i64>,
    /// The time has been told before, a shorter one.
    pub is_again: bool,
    snapshot: Box<Snapshot>,
}

impl Stalled {
    /// `None`: the thread ran no tasklet when it answered.
    pub(super) fn new(
        snapshot: Box<Snapshot>,
        time: Duration,
        system_call: Option<i64>,
        is_again: bool,
    ) -> Option<Stalled> {
        let (tasklet, spawned_at) = snapshot.held?;
        let name = snapshot.name();
        Some(Stalled { tasklet, name, spawned_at, time, system_call, is_again, snapshot })
    }

    /// A backtrace: one line for each function, the innermost first, each after a line break. Looks
    /// up symbols, which takes milliseconds.
    pub fn trace(&self) -> String {
        trace(&self.snapshot)
    }
}

impl fmt::Debug for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stalled")
            .field("tasklet", &self.tasklet)
            .field("name", &self.name)
            .field("spawned_at", &self.spawned_at)
            .field("time", &self.time)
            .field("system_call", &self.system_call)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tasklet {}", self.tasklet)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        write!(f, " {HAS_HELD} {:.1?}", self.time)?;
        if let Some(number) = self.system_call {
            write!(f, ", in system call {number}")?;
        }
        write!(f, "; spawned at {}, it is here:{}", self.spawned_at, self.trace())
    }
}

/// The words for it.
pub(super) const HAS_HELD: &str = "has held its thread, so that nobody else there could run, for";

/// A function that is told of stalls, and tells whether they are to be logged all the same.
pub(crate) type OnStall = fn(&Stall) -> bool;

/// The number of the system call in which a thread of this process waits; `None` where it runs, or
/// where `/proc` does not say.
pub(super) fn system_call_of(thread: u64) -> Option<i64> {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/syscall")).ok()?;
    let number = text.split_whitespace().next()?.parse().ok()?;
    (number >= 0).then_some(number)
}
