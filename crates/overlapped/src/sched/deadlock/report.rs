//! The report of a deadlock.

use std::fmt;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

/// The report of a deadlock: nothing runs, nothing is in flight, and nothing outside could wake a
/// tasklet.
///
/// It lists the tasklets that waited at that moment, and is made once: every tasklet that gets a
/// report gets the same list, even if others have ended by then. It is cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct DeadlockReport {
    waiters: Arc<[Waiter]>,
    count: usize,
}

/// One line of a [`DeadlockReport`] or of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// The tasklet's id.
    pub id: u64,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// The object of its wait, in words.
    pub on: String,
    /// The call that spawned it; for the first tasklet of a run, the call of [`run`](crate::run()).
    pub spawned_at: &'static Location<'static>,
}

impl DeadlockReport {
    /// The maximum number of waiters that a report lists.
    pub(crate) const WAITERS_MAX: usize = 64;

    pub(crate) fn new(waiters: Vec<Waiter>, count: usize) -> DeadlockReport {
        DeadlockReport { waiters: waiters.into(), count }
    }

    /// Returns the number of tasklets that waited.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Returns the tasklets that waited: the youngest 64 of them.
    pub fn waiters(&self) -> &[Waiter] {
        &self.waiters
    }
}

/// Writes the same text as `Display`, because a `main` that returns an error prints it by `Debug`.
impl fmt::Debug for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Waiter {
    /// Writes the line, with the time for which the tasklet has waited, if that is known.
    pub(crate) fn fmt_since(&self, f: &mut fmt::Formatter<'_>, since: Duration) -> fmt::Result {
        write!(f, "tasklet {}", self.id)?;
        if let Some(name) = &self.name {
            write!(f, " '{name}'")?;
        }
        write!(f, ": {}", self.on)?;
        if !since.is_zero() {
            write!(f, " for {since:?}")?;
        }
        write!(f, ", spawned at {}", self.spawned_at)
    }
}

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fmt_since(f, Duration::ZERO)
    }
}

/// The maximum number of waiters that the text spells out.
const LINES_MAX: usize = 16;

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waiters.is_empty() {
            return f.write_str(
                "deadlock: no scheduler runs on this thread, so nothing could wake it; call this \
                     inside overlapped::run",
            );
        }
        write!(f, "deadlock: {} waiting, nothing left to wake them", self.count)?;
        for waiter in self.waiters.iter().take(LINES_MAX) {
            write!(f, "; {waiter}")?;
        }
        if self.count > LINES_MAX {
            write!(f, "; and {} more", self.count - LINES_MAX)?;
        }
        Ok(())
    }
}
