//! What others are told: verdicts (who waits on what), and the observer's callbacks.

use std::fmt;
use std::sync::Arc;

use super::Sched;

/// A deadlock's verdict: nothing runs, nothing is in flight, and nobody outside could wake anyone.
///
/// It lists the tasklets that waited at that moment. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
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

impl fmt::Display for Waiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "tasklet {} '{name}': {}", self.id, self.on),
            None => write!(f, "tasklet {}: {}", self.id, self.on),
        }
    }
}

/// How many waiters a verdict spells out.
const LINES_MAX: usize = 16;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.waiters.is_empty() {
            return f
                .write_str("deadlock: no scheduler runs on this thread, so nobody could wake it");
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

impl Sched {
    /// Resumes every suspended tasklet that was asked for its trace, just for that.
    #[cold]
    pub(super) fn trace_everybody(&self) {
        self.tracing.set(false);
        self.each(|tcb, block| {
            let asked = block.extra(|extra| extra.is_some_and(|extra| extra.trace.is_some()));
            // SAFETY: only the hub, which this is, reaches a fiber, and none is running.
            if asked && let Some(fiber) = unsafe { &mut *block.fiber.get() } {
                fiber.resume(tcb.as_ptr().cast_const().cast());
            }
        });
    }
}
