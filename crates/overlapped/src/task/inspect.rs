//! Dumps: every tasklet with its own backtrace; and the scheduler's counters.
//!
//! A parked stack cannot be walked from outside. So for a dump the hub visits every suspended
//! tasklet, which writes down its own return addresses and goes on waiting. It writes at most 64,
//! allocates nothing, and writes none with less than 16 KiB of stack left. Symbols are resolved
//! afterwards, on the stack of the code that prints the dump.

use core::time::Duration;
use std::fmt;
use std::ptr::NonNull;

use super::suspension::suspend;
use crate::foreign::names;
use crate::sched::{Here, State, Trace, Waiter, here};
use crate::stack;
use crate::watchdog;
use crate::watchdog::Stalled;

/// Every tasklet of the caller's scheduler at one moment. It prints one line each, and a backtrace
/// with the alternate form (`{:#}`).
#[derive(Debug, Clone)]
pub struct Dump {
    lines: Vec<DumpLine>,
}

/// One tasklet of a [`Dump`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DumpLine {
    /// The tasklet, and what it waits for.
    pub tasklet: Waiter,
    /// The time for which it has waited, as of the scheduler's last read of the clock; zero if it
    /// does not wait.
    pub since: Duration,
    /// Its return addresses, innermost first; empty if it has no stack, or too little left.
    pub backtrace: Vec<usize>,
}

impl Dump {
    /// Returns the tasklets, the oldest first.
    pub fn lines(&self) -> &[DumpLine] {
        &self.lines
    }
}

/// Asks a thread of this process, by its number (gettid(2)), which tasklet it runs and where that
/// is. It asks by a signal, as [`Config::stall_limit`](super::Config::stall_limit) does. Returns
/// `None` if the thread runs no tasklet, or does not answer in 100 ms. The tasklet's run must have
/// a stall limit, a dump's signal or [`Config::shown`](super::Config::shown).
///
/// This is for watchers with a thread of their own. A system call in which the thread waits may
/// return `EINTR`.
///
/// ```
/// let config = overlapped::Config::new().shown(true);
/// config.run(|| {
///     let me = overlapped::Builder::new().name("me").spawn(|| {
///         let number = std::os::unix::process::parent_id(); // Not a thread of this process.
///         assert!(overlapped::task::running_on(number).is_none());
///     });
///     me.unwrap().join().unwrap();
/// }).unwrap();
/// ```
pub fn running_on(thread: u32) -> Option<Stalled> {
    watchdog::running_on(thread.into())
}

/// Returns a dump of every tasklet: name, state, what it waits for, for how long, and its own
/// backtrace. Outside a scheduler it is empty. Inside `no_switch` and while unwinding it has no
/// backtraces.
///
/// ```
/// overlapped::run(|| {
///     let channel = overlapped::Channel::<()>::new();
///     let inner = channel.clone();
///     let waiter = overlapped::Builder::new().name("waiter").spawn(move || inner.recv()).unwrap();
///     overlapped::yield_now();
///     let dump = overlapped::task::dump();
///     assert!(dump.to_string().contains("'waiter': receiving from channel"));
///     channel.close();
///     waiter.join().unwrap().unwrap_err();
/// }).unwrap();
/// ```
pub fn dump() -> Dump {
    let Some(here) = here() else {
        return Dump { lines: Vec::new() };
    };
    let may_leave = !std::thread::panicking() && here.me().no_switch.get() == 0;
    let traces = if may_leave { visit_everybody(here) } else { Vec::new() };
    let now = here.read_clock();
    let mut lines = Vec::new();
    here.each(|_, block| {
        let since = match block.state.get() {
            State::Waiting => now.saturating_sub(block.since.get()),
            _ => 0,
        };
        let trace = traces.iter().find(|(id, _)| *id == block.id);
        lines.push(DumpLine {
            tasklet: here.describe(block),
            since: Duration::from_nanos(since),
            backtrace: trace.map_or_else(Vec::new, |(_, trace)| trace[..].to_vec()),
        });
    });
    lines.reverse();
    Dump { lines }
}

/// Lets the hub visit every suspended tasklet for its trace, and takes the caller's own.
fn visit_everybody(here: Here) -> Vec<(u64, Vec<usize>)> {
    let me = here.me();
    let mut suspended = Vec::new();
    here.each(|tcb, block| {
        let can_answer = matches!(block.state.get(), State::Waiting | State::Ready);
        if can_answer && block.guard.get().end != 0 {
            suspended.push(tcb);
        }
    });
    let mut traces = vec![Trace::default(); suspended.len()];
    let first = traces.as_mut_ptr();
    for (i, &tcb) in suspended.iter().enumerate() {
        // SAFETY: `i` is within the vector, which stays as it is until the visits end.
        let trace = NonNull::new(unsafe { first.add(i) });
        here.block(tcb).extra_or_new(|extra| extra.trace = trace);
    }
    here.request_traces();
    me.state.set(State::Ready);
    here.push_ready_first(here.me_ptr());
    suspend(here, me);
    // SAFETY: the visits are over, so nothing writes any more.
    let written = unsafe { std::slice::from_raw_parts(first, suspended.len()) };
    let mut seen: Vec<_> = suspended
        .iter()
        .zip(written)
        .map(|(&tcb, trace)| (here.block(tcb).id, trace.addresses().to_vec()))
        .collect();
    let mut own = Trace::default();
    own.record();
    seen.push((me.id, own.addresses().to_vec()));
    seen
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.lines.len();
        writeln!(f, "{count} tasklet{}", if count == 1 { "" } else { "s" })?;
        for line in &self.lines {
            line.tasklet.fmt_since(f, line.since)?;
            writeln!(f)?;
            if f.alternate() {
                for &address in &line.backtrace {
                    for name in names(address) {
                        writeln!(f, "    {address:#x} {name}")?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// Returns how much of its stack the calling tasklet has ever had in memory, in bytes, in whole
/// pages: the high-water mark, also of tasklets that had this stack before. `None` outside a
/// scheduler.
pub fn stack_used() -> Option<usize> {
    let here = here()?;
    let me = here.me();
    Some(stack::used(me.guard.get().end, me.suspender.get().addr()))
}

/// The scheduler's counters at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// The completion port in use: `uring` or `poll`.
    pub port: &'static str,
    /// Tasklets spawned so far, the first one included.
    pub spawned: u64,
    /// Tasklets that have not ended.
    pub live: usize,
    /// Tasklets ready to run, the caller included: Stackless Python's run count.
    pub runnable: usize,
    /// Switches to a tasklet so far.
    pub switches: u64,
    /// Operations submitted to the port so far.
    pub operations: u64,
    /// Operations in flight.
    pub in_flight: usize,
    /// Stacks in use or kept for reuse.
    pub stacks: usize,
    /// Tasklets that wait for a free stack.
    pub waiting_for_stack: usize,
}

/// Returns the scheduler's counters; `None` outside a scheduler.
pub fn stats() -> Option<Stats> {
    let here = here()?;
    let counts = here.counts();
    Some(Stats {
        port: here.driver().borrow().name(),
        spawned: counts.spawned,
        live: counts.live,
        runnable: counts.ready + 1,
        switches: counts.switches,
        operations: counts.operations,
        in_flight: counts.in_flight,
        stacks: counts.stacks,
        waiting_for_stack: counts.waiting_for_stack,
    })
}
