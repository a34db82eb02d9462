//! What others are told: verdicts (who waits on what), the observer's callbacks, and who it was
//! that overflowed his stack or holds the thread.

mod cycles;
mod describe;

use std::fmt;
use std::io;
use std::panic::Location;
use std::sync::Arc;
use std::time::Duration;

use super::{Sched, here};
use crate::stack;
use crate::stack::overflow::{self, Culprit};
use crate::watchdog::Held;

/// A deadlock's verdict: nothing runs, nothing is in flight, and nobody outside could wake anyone.
///
/// It lists the tasklets that waited at that moment, and is made once: each of them that is told
/// gets the same list, whatever has become of the others by then. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Verdict {
    waiters: Arc<[Waiter]>,
    count: usize,
}

/// One line of a [`Verdict`] or of a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Waiter {
    /// The tasklet's id.
    pub id: u64,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What it waits for.
    pub on: String,
    /// The call that spawned it; of a run's first tasklet, that of [`run`](crate::run()).
    pub spawned_at: &'static Location<'static>,
}

impl Verdict {
    /// The most waiters that a verdict describes.
    pub(crate) const WAITERS_MAX: usize = 64;

    pub(crate) fn new(waiters: Vec<Waiter>, count: usize) -> Verdict {
        Verdict { waiters: waiters.into(), count }
    }

    /// How many tasklets waited.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Who waited: the youngest 64 of them.
    pub fn waiters(&self) -> &[Waiter] {
        &self.waiters
    }
}

/// As its text: it is read where a program ends with an error, in one line for each waiter.
impl fmt::Debug for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Waiter {
    /// The line, with the time for which it has waited where that is known.
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

/// How many waiters a verdict spells out.
const LINES_MAX: usize = 16;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waiters.is_empty() {
            return f.write_str(
                "deadlock: no scheduler runs on this thread, so nobody could wake it; call this \
                     inside overlapped::run",
            );
        }
        write!(f, "deadlock: {} waiting, nobody left to wake them", self.count)?;
        for waiter in self.waiters.iter().take(LINES_MAX) {
            write!(f, "; {waiter}")?;
        }
        if self.count > LINES_MAX {
            write!(f, "; and {} more", self.count - LINES_MAX)?;
        }
        Ok(())
    }
}

/// One action on a channel, as an [`Observer`] sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelEvent {
    /// Tells channels apart: an address, unique among living ones.
    pub channel: usize,
    /// Who acts.
    pub tasklet: u64,
    /// A send; else a receive.
    pub sending: bool,
    /// It blocks, for want of a partner.
    pub will_block: bool,
}

/// Is told of switches and channel actions: the original's schedule and channel callbacks.
///
/// Called on tasklets' stacks, inside `no_switch`: it must not wait. Given to
/// `Config::observer`; costs nothing where there is none. A panic in it is printed and ignored.
pub trait Observer {
    /// `next` runs now; before it ran `previous`, if any.
    fn switched(&self, previous: Option<u64>, next: u64) {
        let _ = (previous, next);
    }

    /// A tasklet sends or receives.
    fn channel(&self, event: ChannelEvent) {
        let _ = event;
    }
}

pub(super) use cycles::LockCycles;
pub(super) use describe::{LOOKUP, Shown, in_order, show, shown};

impl Sched {
    /// The youngest `count` tasklets, the oldest first, as lines for a verdict.
    pub(super) fn youngest(&self, count: usize) -> Vec<Waiter> {
        let mut lines = Vec::new();
        let mut at = self.all.get();
        while let Some(tcb) = at.filter(|_| lines.len() < count) {
            let block = self.block(tcb);
            at = block.all_next.get();
            lines.push(self.describe(block));
        }
        lines.reverse();
        lines
    }

    /// Resumes every suspended tasklet that was asked for its trace, just for that.
    #[cold]
    pub(super) fn trace_everybody(&self) {
        self.tracing.set(false);
        self.each(|_, block| {
            let asked = block.extra(|extra| extra.is_some_and(|extra| extra.trace.is_some()));
            if asked && let Some(fiber) = block.fiber() {
                // SAFETY: this is the hub, and whoever has a fiber is in the middle of a job.
                unsafe { fiber.resume(&block.position, &self.hub) };
            }
        });
    }
}

/// Installs the report of stack overflows; once per process, and its stack once per thread.
pub(crate) fn report_overflows() -> io::Result<()> {
    // SAFETY: `culprit` reads a const-initialised thread-local and plain cells of this thread, and
    // names stay where they are from a tasklet's first run to its end.
    unsafe { overflow::install(culprit) }?;
    overflow::ensure_alt_stack();
    Ok(())
}

/// The tasklet running on this thread, if `fault` is in its stack's guard. Async-signal-safe.
fn culprit(fault: usize) -> Option<Culprit> {
    let here = here()?;
    let me = here.me();
    let guard = me.guard.get();
    if !(guard.start..guard.end).contains(&fault) {
        return None;
    }
    let name = me.name_in_handler();
    let (name, name_len) = name.map_or((std::ptr::null(), 0), |name| (name.as_ptr(), name.len()));
    // The suspender stands at the top of the stack; stacks are multiples of guards.
    let usable = (me.suspender.get().addr() - guard.end).next_multiple_of(stack::GUARD);
    let stack_size = usable + (guard.end - guard.start);
    Some(Culprit { name, name_len, id: me.id, usable, stack_size })
}

/// The tasklet running on this thread. Async-signal-safe.
fn held() -> Option<Held> {
    let here = here()?;
    let me = here.block(here.running.get()?);
    let name = me.name_in_handler();
    let (name, name_len) = name.map_or((std::ptr::null(), 0), |name| (name.as_ptr(), name.len()));
    // The suspender stands at the top of the stack, above the first frame.
    let stack = (me.guard.get().end, me.suspender.get().addr());
    Some(Held { id: me.id, name, name_len, spawned_at: me.spawned_at, stack })
}
