//! Stalls that the watchdog finds, as the program's function gets them.

use std::fmt;
use std::panic::Location;
use std::sync::OnceLock;
use std::time::Duration;

use super::report::trace;
use super::snapshot::Snapshot;
use crate::sys::thread::system_call_name;

/// A tasklet that holds its thread, reported to [`Config::on_stall`](crate::Config::on_stall).
#[derive(Debug)]
#[non_exhaustive]
pub enum Stall {
    /// It has held its thread for longer than the limit, so that no other tasklet could run there.
    /// Reported again when that has lasted twice as long.
    Lasts(Stalled),
    /// It has released its thread.
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
    /// The tasklet's number.
    pub tasklet: u64,
    /// The tasklet's name.
    pub name: Option<String>,
    /// The call that spawned it.
    pub spawned_at: &'static Location<'static>,
    /// The time for which it has held its thread so far.
    pub time: Duration,
    /// The number of the system call in which its thread waits. `None`: it computes, or `/proc`
    /// does not say.
    pub system_call: Option<i64>,
    /// Set if the same stall was reported before, with a shorter time.
    pub is_again: bool,
    snapshot: Box<Snapshot>,
    /// The backtrace, once [`Stalled::trace`] was called.
    trace: OnceLock<String>,
}

impl Stalled {
    /// Makes a report from a thread's answer. `None` if the thread ran no tasklet when it answered.
    pub(super) fn new(
        snapshot: Box<Snapshot>,
        time: Duration,
        system_call: Option<i64>,
        is_again: bool,
    ) -> Option<Stalled> {
        let (tasklet, spawned_at) = snapshot.held?;
        let name = snapshot.name();
        let trace = OnceLock::new();
        Some(Stalled { tasklet, name, spawned_at, time, system_call, is_again, snapshot, trace })
    }

    /// Returns a backtrace: one line for each function, the innermost first, each after a line
    /// break. Looks up symbols the first time, which takes milliseconds, or hundreds of them if
    /// a program's debugging information is large.
    pub fn trace(&self) -> String {
        self.trace.get_or_init(|| trace(&self.snapshot)).clone()
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
            match system_call_name(number) {
                Some(name) => write!(f, ", in {name}")?,
                None => write!(f, ", in system call {number}")?,
            }
        }
        write!(f, "; spawned at {}, it is here:{}", self.spawned_at, self.trace())
    }
}

/// The wording of a stall, between the tasklet and the time.
pub(super) const HAS_HELD: &str = "has held its thread, so that no other could run there, for";

/// A program's function for stalls. It returns whether the stall is to be logged all the same.
pub(crate) type OnStall = fn(&Stall) -> bool;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_stall_names_the_system_call_that_its_thread_waits_in() {
        let mut snapshot = Snapshot::boxed();
        snapshot.held = Some((7, Location::caller()));
        let time = Duration::from_millis(21);
        let stalled = Stalled::new(snapshot, time, Some(libc::SYS_read), false).unwrap();
        assert!(stalled.to_string().contains(" for 21.0ms, in read; spawned at "), "{stalled}");
    }
}
