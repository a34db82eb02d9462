//! Looking inside: every tasklet with its own backtrace, and the scheduler's counters.
//!
//! A parked stack cannot be walked from outside. So a dump asks: the hub visits every suspended
//! tasklet, which writes its own return addresses down (at most 64, allocating nothing, and not at
//! all with less than 16 KiB of stack left) and goes on waiting. Symbols are resolved afterwards,
//! on the stack of whoever prints the dump.

use core::time::Duration;
use std::fmt;
use std::ptr::NonNull;

use super::wait::leave;
use crate::foreign::names;
use crate::sched::{Here, Sched, State, Tcb, Trace, Waiter, here};
use crate::stack;
use crate::watchdog;
use crate::watchdog::Stalled;

/// Every tasklet of the caller's scheduler at one moment; prints one line each, and a backtrace
/// with the alternate form (`{:#}`).
#[derive(Debug, Clone)]
pub struct Dump {
    lines: Vec<DumpLine>,
}

/// One tasklet of a [`Dump`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DumpLine {
    /// Who, and on what it waits.
    pub tasklet: Waiter,
    /// For how long, as of the scheduler's last look at the clock; zero unless it waits.
    pub since: Duration,
    /// Its return addresses, innermost first; empty where it has no stack, or too little left.
    pub backtrace: Vec<usize>,
}

impl Dump {
    /// The tasklets, the oldest first.
    pub fn lines(&self) -> &[DumpLine] {
        &self.lines
    }
}

/// Asks a thread of this process, by its number (gettid(2)), which tasklet it runs and where that
/// is, by a signal as for [`Config::stall_limit`](super::Config::stall_limit). `None`: it runs no
/// tasklet, or none of a run with a stall limit, a dump's signal or
/// [`Config::shown`](super::Config::shown); or it does not answer in 100 ms.
///
/// For watchers with a thread of their own. A system call in which the thread waits may return
/// `EINTR`.
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

/// Shows every tasklet: name, state, on what it waits, for how long, and its own backtrace.
/// Outside a scheduler it is empty. Inside `no_switch` and while unwinding, without backtraces.
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

/// Has the hub visit every suspended tasklet for its trace, and takes the caller's own.
fn visit_everybody(here: Here) -> Vec<(u64, Vec<usize>)> {
    let me = here.me();
    let mut suspended = Vec::new();
    here.each(|tcb, block| {
        let can_answer = matches!(block.state.get(), State::Waiting | State::Ready);
        if can_answer && block.guard.get().end != 0 {
            suspended.push(tcb);
        }
    });
    let mut traces = vec![Trace { addresses: [0; Trace::DEPTH], len: 0 }; suspended.len()];
    let first = traces.as_mut_ptr();
    for (i, &tcb) in suspended.iter().enumerate() {
        // SAFETY: `i` is within the vector, which stays as it is until every visit is over.
        let trace = NonNull::new(unsafe { first.add(i) });
        here.block(tcb).extra_or_new(|extra| extra.trace = trace);
    }
    here.tracing.set(true);
    here.watched.set(true);
    me.state.set(State::Ready);
    here.ready.push_front(here.me_ptr());
    leave(here, me);
    // SAFETY: the visits are over; nobody writes any more.
    let written = unsafe { std::slice::from_raw_parts(first, suspended.len()) };
    let mut seen: Vec<_> = suspended
        .iter()
        .zip(written)
        .map(|(&tcb, trace)| (here.block(tcb).id, trace.addresses[..trace.len].to_vec()))
        .collect();
    let mut own = Vec::new();
    backtrace::trace(|frame| {
        own.push(frame.ip().addr());
        own.len() < Trace::DEPTH
    });
    seen.push((me.id, own));
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

/// Bytes of stack that taking a backtrace may need.
const TRACE_ROOM: usize = 16 * 1024;

/// Writes down the addresses of this stack's frames for a dump. Allocates nothing.
#[cold]
pub(super) fn trace_myself(me: &Tcb) {
    let Some(mut wanted) = me.extra(|extra| extra?.trace.take()) else {
        return;
    };
    // SAFETY: whoever asked waits, with the trace alive, until every visit is over.
    let trace: &mut Trace = unsafe { wanted.as_mut() };
    let here = (&raw const trace).addr();
    if here.saturating_sub(me.guard.get().end) < TRACE_ROOM {
        return;
    }
    backtrace::trace(|frame| {
        trace.addresses[trace.len] = frame.ip().addr();
        trace.len += 1;
        trace.len < Trace::DEPTH
    });
}

/// How much of its stack the calling tasklet has ever had in memory, in bytes, in whole pages: the
/// high-water mark, also of tasklets that had this stack before. `None` outside a scheduler.
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
    /// Tasklets ready to run, the caller included: the original's run count.
    pub runnable: usize,
    /// Switches to a tasklet so far.
    pub switches: u64,
    /// Operations submitted to the port so far.
    pub operations: u64,
    /// Operations in flight.
    pub in_flight: usize,
    /// Stacks in use or kept hot.
    pub stacks: usize,
    /// Tasklets that wait for a free stack.
    pub starved: usize,
}

/// The scheduler's counters; `None` outside a scheduler.
pub fn stats() -> Option<Stats> {
    let here = here()?;
    let sched: &Sched = &here;
    Some(Stats {
        port: sched.driver.borrow().name(),
        spawned: sched.counters.spawned.get(),
        live: sched.live.get(),
        runnable: sched.ready.len() + 1,
        switches: sched.pulse.switches(),
        operations: sched.counters.operations.get(),
        in_flight: sched.table.borrow().len(),
        stacks: sched.pool.borrow().in_use(),
        starved: sched.starved.len(),
    })
}
