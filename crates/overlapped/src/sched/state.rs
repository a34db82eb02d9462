//! The state of one scheduler: its fields, its counts and clock, and the facts that others read.
//!
//! Every field belongs to the scheduler's thread alone; other threads reach the [`Inbox`] and the
//! [`Group`]. Nothing outside of `sched` sees a field: the modules above park, wake and count by
//! methods. Three parties on that thread touch the fields, and each field says which:
//!
//! - *the hub*: the run loop and what it calls, on the scheduler's own stack. No tasklet runs.
//! - *a tasklet*: the running one, on its own stack, by a method. The hub is suspended.
//! - *the handler*: a signal handler, at any instruction. It only reads (`observer/describe`).
//!
//! A `RefCell` is borrowed for the length of one method, in which nothing suspends and no code of
//! the user's runs; so no two borrows meet.

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use super::deadlock::Candidates;
use super::idle::interrupts::Interrupts;
use super::run::Budget;
use super::tasklet::Timers;
use super::{
    DeadlockReport, Group, Inbox, Intake, Job, Message, Observer, Queue, RemoteLink, Tcb, TcbPtr,
    WaitNodePtr, Waiter,
};
use crate::driver::Driver;
use crate::locals::{self, Home};
use crate::op::{Completion, Full, Table, Token};
use crate::stack::Pool;
use crate::switch::{Fiber, Hub};
use crate::sys::clock;
use crate::watchdog::{OnStall, Pulse};

/// A scheduler's configuration, with every default filled in.
pub(crate) struct SchedConfig {
    pub(crate) tasklets_max: usize,
    pub(crate) operations_max: usize,
    pub(crate) grace_ns: u64,
    /// The time for which a tasklet may hold its thread before the watchdog warns.
    pub(crate) stall: Option<Duration>,
    /// The program's function for stalls.
    pub(crate) on_stall: Option<OnStall>,
    /// Set if a signal shows all tasklets, or the program may ask for the running one.
    pub(crate) shown: bool,
}

/// The id of a scheduler's first tasklet.
pub(crate) const FIRST_ID: u64 = 1;

/// One thread's scheduler.
///
/// Fields are dropped in the order of their declaration.
pub(crate) struct Sched {
    // The running tasklet. These fields are written at every switch.
    /// The tasklet that runs. The hub sets it before a switch and takes it after; a tasklet sets it
    /// when it comes back to its stack, since another tasklet may have handed over to it. The
    /// handler reads it.
    pub(super) running: Cell<Option<TcbPtr>>,
    /// The hub's own place while a tasklet runs. The hub and every switch.
    pub(super) hub: Hub,
    /// The switches left before the next poll of port, timers and inbox. The hub renews it, every
    /// switch spends it.
    pub(super) budget: Budget,
    /// Beats before and after each switch, for the watchdog, which reads it from another thread.
    pub(super) pulse: Pulse,
    /// Tasklets that are ready to run, in order. The hub and tasklets, at any time.
    pub(super) ready: Queue<Tcb>,
    /// Tasklets that have not begun and wait for a free stack. The hub; a kill takes one out.
    pub(super) waiting_for_stack: Queue<Tcb>,
    /// Set when those tasklets have tried again since the last stack came back. The hub only.
    pub(super) retried_stack_waiters: Cell<bool>,

    // Living tasklets.
    /// The head of the list of living tasklets, the youngest first. Spawning tasklets add, the hub
    /// removes; the handler walks it, so links are written in order.
    pub(super) all: Cell<Option<TcbPtr>>,
    /// The length of that list. The handler reads it.
    pub(super) live: Cell<usize>,
    /// The ids for new tasklets, and the count of those from the inbox that have not begun.
    /// Spawning tasklets; the hub, for closures from the inbox; each such tasklet when it begins.
    pub(super) intake: Intake,
    /// Never changes.
    pub(super) config: SchedConfig,
    /// Tasklets spawned so far.
    pub(super) spawned: Cell<u64>,
    /// Operations begun so far. Tasklets, at each call.
    pub(super) operations: Cell<u64>,
    /// The number of calls in a row, of one tasklet, that could have waited and did not. The
    /// running tasklet.
    pub(super) busy_calls: Cell<u32>,
    /// The number of switches when `busy_calls` began.
    pub(super) busy_since: Cell<u64>,

    // The observer.
    /// Called on tasklets' stacks only; taken out and dropped by the caller of `run`.
    pub(super) observer: Option<Box<dyn Observer>>,
    /// The observer is being called. Its own actions are not observed.
    pub(super) observing: Cell<bool>,
    /// The id of the tasklet that ran last; kept only for an observer. 0: none.
    pub(super) ran_last: Cell<u64>,

    // The shutdown. The hub writes, tasklets read.
    /// The shutdown has begun: every tasklet is killed at every suspension point.
    pub(super) ending: Cell<bool>,
    /// The grace time has ended: a tasklet that is spawned now never runs.
    pub(super) late: Cell<bool>,
    /// The closure of such a tasklet is being dropped, by the tasklet that spawned it.
    pub(super) drops_late: Cell<bool>,
    /// The end of the grace time, on the port's clock; [`NEVER`](super::NEVER) before the shutdown,
    /// 0 if nothing is left that could end it.
    pub(super) grace_until: Cell<u64>,

    // Time.
    /// The time of the next trim of idle stacks. The hub only.
    pub(super) trim_at: Cell<u64>,
    /// The port's clock as it was last read, for times that need not be exact.
    pub(super) now: Cell<u64>,
    /// The number of parks so far: the order of waits.
    pub(super) order: Cell<u64>,
    /// The state of [`Sched::next_random`].
    pub(super) random: Cell<u64>,
    /// Waiting tasklets with a deadline. A park counts up; the wake, or whatever makes the deadline
    /// meaningless, counts down.
    pub(super) timed_waits: Cell<usize>,
    /// The deadlines. Parks arm; the hub fires; a tasklet's end disarms.
    pub(super) timers: RefCell<Timers>,

    // The port.
    /// Requests of this thread's signal handlers. Dropped before the driver: a handler must not
    /// have the last reference to the port's notifier.
    pub(super) interrupts: Interrupts,
    /// The completion port. Tasklets submit and cancel, the hub waits. Borrowed while a backend
    /// runs; replacements of libc's functions that the backend calls check that.
    pub(super) driver: RefCell<Driver>,
    /// The wait node of each operation in flight. Tasklets insert, completions remove.
    pub(super) table: RefCell<Table<WaitNodePtr>>,
    /// Completions of one wait; empty between two of them. The hub only.
    pub(super) reaped: RefCell<Vec<Completion>>,

    // Stacks. The hub; tasklets read counts.
    pub(super) pool: RefCell<Pool>,
    /// Fibers of tasklets that have ended, ready for the next ones. A tasklet that hands over to
    /// one that has not begun takes one, too.
    pub(super) idle: RefCell<Vec<Fiber>>,

    // Other threads.
    /// The schedulers of this run. Shared.
    pub(super) group: Arc<Group>,
    /// The index of this one.
    pub(super) member: usize,
    /// A number that no other scheduler of this process has or will have: with a tasklet's id it
    /// names that tasklet for ever.
    pub(super) number: u64,
    /// The number of this thread, as the holder of a lock that it took outside of all runs.
    pub(super) thread: u64,
    /// The requests of other threads. Shared.
    pub(super) inbox: Arc<Inbox>,
    /// Messages and closures that are being read; empty between two reads. The hub only.
    pub(super) messages: RefCell<(Vec<Message>, Vec<Job>)>,
    /// Tasklets that wait for a wake from another thread. Such a tasklet inserts itself and removes
    /// itself; a wake removes it before.
    pub(super) remote_waits: RefCell<Table<TcbPtr>>,
    /// The number of these that wait for a lock. The waiter counts, around its park.
    pub(super) lock_waits: Cell<usize>,
    /// The number of these that a thread of this process must end. The waiter counts.
    pub(super) thread_waits: Cell<usize>,
    /// The number of those whose timer only makes them check again. The waiter counts.
    pub(super) thread_polls: Cell<usize>,
    /// Tasklets that have handles for other threads, each with what it shares with them. Tasklets
    /// insert; a tasklet's end removes.
    pub(super) remotes: RefCell<Table<(TcbPtr, Option<Arc<RemoteLink>>)>>,

    // Deadlocks. The hub, unless said otherwise.
    /// A wait for a lock has begun since lock cycles were last searched. Set by the waiter.
    pub(super) lock_wait_began: Cell<bool>,
    /// The time of the next search for lock cycles; 0: no search is due.
    pub(super) search_cycles_at: Cell<u64>,
    /// The smallest id in each cycle that has been reported.
    pub(super) told_cycles: RefCell<Vec<u64>>,
    /// Tasklets that were parked for good.
    pub(super) abandoned: RefCell<Vec<Waiter>>,
    /// The report for `run`, where no waiting call could return it.
    pub(super) deadlock_report: RefCell<Option<DeadlockReport>>,
    /// The last report that was made, and the value of `order` then.
    pub(super) last_report: RefCell<Option<(u64, DeadlockReport)>>,
    /// A run of deadlock reports is under way, and `candidates` is complete.
    pub(super) reporting_deadlocks: Cell<bool>,
    pub(super) candidates: RefCell<Candidates>,
    /// Set if a tasklet has ended since this was last read.
    pub(super) some_ended: Cell<bool>,

    // After a switch.
    /// Set if a tasklet wants backtraces of all.
    pub(super) tracing: Cell<bool>,
    /// The hub has something to do after each switch: take traces, or collect candidates. While it
    /// is set, no tasklet hands over to another.
    pub(super) after_switch_due: Cell<bool>,

    // Thread-locals.
    /// This thread's errno. Asking libc for its place at every switch would take as long as the
    /// rest of the switch.
    pub(super) errno: NonNull<i32>,
    /// This thread's own thread-locals.
    pub(super) home: Home,
    /// Blocks of thread-locals for tasklets that have their own. A tasklet takes one when it begins
    /// and gives it back when it ends.
    pub(super) blocks: RefCell<locals::Pool>,
}

/// Operations, traces, the clock.
impl Sched {
    /// Returns the completion port.
    #[inline(always)]
    pub(crate) fn driver(&self) -> &RefCell<Driver> {
        &self.driver
    }

    /// Enters an operation whose completion completes the wait on `node`.
    #[inline(always)]
    pub(crate) fn add_operation(&self, node: WaitNodePtr) -> Result<Token, Full> {
        self.table.borrow_mut().insert(node).map_err(|(full, _)| full)
    }

    /// Removes an operation that was done at once: no completion names it.
    #[inline(always)]
    pub(crate) fn remove_operation(&self, token: Token) {
        self.table.borrow_mut().remove(token);
    }

    /// Counts an operation. Returns the count.
    #[inline(always)]
    pub(crate) fn count_operation(&self) -> u64 {
        let operations = self.operations.get() + 1;
        self.operations.set(operations);
        operations
    }

    /// Returns the number of operations so far.
    #[inline(always)]
    pub(crate) fn operation_count(&self) -> u64 {
        self.operations.get()
    }

    /// Counts a call that could have waited and did not. Returns true once in `max` calls in a row
    /// without a switch.
    #[inline]
    pub(crate) fn count_busy_call(&self, max: u32) -> bool {
        let switches = self.pulse.switches();
        let is_new_turn = self.busy_since.replace(switches) != switches;
        self.busy_calls.set(if is_new_turn { 1 } else { self.busy_calls.get() + 1 });
        let is_due = self.busy_calls.get() >= max;
        if is_due {
            self.busy_calls.set(0);
        }
        is_due
    }

    /// Asks the hub to visit every tasklet that was given a place for its trace.
    pub(crate) fn request_traces(&self) {
        self.tracing.set(true);
        self.after_switch_due.set(true);
    }

    /// Reads the port's clock.
    pub(crate) fn read_clock(&self) -> u64 {
        let now = clock::nanos();
        self.now.set(now);
        now
    }

    /// Returns a pseudo-random number, the same in every run: it decides which of several ready
    /// alternatives is first.
    pub(crate) fn next_random(&self) -> u64 {
        // xorshift64*; its upper half is the better one.
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }
}

/// Facts that the modules above read.
impl Sched {
    /// Returns the part of this scheduler that is needed to make a tasklet.
    #[inline(always)]
    pub(crate) fn intake(&self) -> &Intake {
        &self.intake
    }

    /// Tells whether the shutdown has begun.
    #[inline(always)]
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.get()
    }

    /// Tells whether there is an observer.
    #[inline(always)]
    pub(crate) fn is_observed(&self) -> bool {
        self.observer.is_some()
    }

    /// Returns the schedulers of this run.
    pub(crate) fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Returns the index of this scheduler in its group.
    pub(crate) fn member(&self) -> usize {
        self.member
    }

    /// Returns the number of this scheduler, which no other one has or will have.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Returns the inbox for messages from other threads.
    pub(crate) fn inbox(&self) -> &Arc<Inbox> {
        &self.inbox
    }

    /// Returns the scheduler's counters, for `task::stats`.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            spawned: self.spawned.get(),
            live: self.live.get(),
            ready: self.ready.len(),
            switches: self.pulse.switches(),
            operations: self.operations.get(),
            in_flight: self.table.borrow().len(),
            stacks: self.pool.borrow().in_use(),
            waiting_for_stack: self.waiting_for_stack.len(),
        }
    }
}

/// Counters at one moment.
pub(crate) struct Counts {
    pub(crate) spawned: u64,
    pub(crate) live: usize,
    pub(crate) ready: usize,
    pub(crate) switches: u64,
    pub(crate) operations: u64,
    pub(crate) in_flight: usize,
    pub(crate) stacks: usize,
    pub(crate) waiting_for_stack: usize,
}
