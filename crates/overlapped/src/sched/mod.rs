//! The scheduler: who is ready, who waits for what, and the loop between them and the port.
//!
//! ```text
//!            spawn ──▶ ready queue ──▶ run (run/): one switch    ──▶ the tasklet
//!                          ▲                                          │ park (task/wait.rs)
//!                          │ wake                                     ▼
//!   port completions ──────┤                              waiting: op, channel, join, time …
//!   due timers ────────────┤
//!   inbox (other threads) ─┘
//! ```
//!
//! One scheduler per thread, on that of [`run`](crate::run) or one that it started;
//! a run's schedulers are a [`Group`]. Everything in it is touched by
//! that thread only, except the [`Inbox`]. It runs no user code (`hub.rs`): closures, results and
//! locals are dropped on a tasklet's stack.
//!
//! Shutdown: (1) `ending` is set and everybody is killed; (2) the loop goes on until all have
//! ended; (3) what outlives the grace time is abandoned (`abandon/`); (4) the port is drained and
//! closed.

mod abandon;
mod cut;
mod enter;
mod group;
mod hub;
mod idle;
mod inbox;
pub(crate) mod interrupts;
mod run;
mod tasklet;
mod witness;

use std::cell::{Cell, RefCell};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::driver::Driver;
use crate::locals::{self, Home};
use crate::op::{Completion, Table, Token};
use crate::sched::interrupts::Interrupts;
use crate::stack::Pool;
use crate::switch::{Fiber, Hub};
use crate::sys::clock;
use crate::watchdog::{OnStall, Pulse};

pub(crate) use enter::{AbortOnUnwind, Ended, Parts, open};
pub(crate) use group::Group;
pub(crate) use hub::{drop_locals, drop_quietly, end_locals, is_occupied, users_turn};
pub(crate) use inbox::{Inbox, Job, Line, Message, Refused};
use run::Budget;
pub(crate) use tasklet::{
    Alternative, Awaited, Bell, Choice, DEPTH_MAX, Ending, Holder, Locals, LockKind, LockWait,
    NEVER, Origin, Place, Queue, Seat, SeatPtr, Span, State, Tcb, TcbPtr, VTable, Waiting, Wake,
    release, retain, seat_of, thread_number,
};
use witness::in_order;
pub(crate) use witness::report_overflows;
pub use witness::{ChannelEvent, Observer, Verdict, Waiter};

/// Those who wait in one channel: senders or receivers. Both only where one select offers both.
#[derive(Default)]
pub(crate) struct WaitQueue {
    senders: Queue<Seat>,
    receivers: Queue<Seat>,
    /// The channel's, for verdicts and dumps.
    name: Option<Box<str>>,
}

impl WaitQueue {
    /// An empty one, of a channel with this name.
    pub(crate) fn named(name: Box<str>) -> WaitQueue {
        WaitQueue { name: Some(name), ..WaitQueue::default() }
    }

    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Those who send, or those who receive.
    #[inline(always)]
    pub(crate) fn side(&self, sending: bool) -> &Queue<Seat> {
        if sending { &self.senders } else { &self.receivers }
    }
}

/// What a scope and its tasklets share; lives in the frame of `scope`.
#[derive(Default)]
pub(crate) struct ScopeState {
    /// Tasklets of the scope that have not ended, linked through their blocks.
    pub(crate) first: Cell<Option<TcbPtr>>,
    /// The tasklet that waits for them in `Waiting::Scope`.
    pub(crate) owner: Cell<Option<TcbPtr>>,
    /// One of them panicked and nobody joined it.
    pub(crate) panicked: Cell<bool>,
}

impl ScopeState {
    /// Takes in a new tasklet.
    pub(crate) fn add(&self, tcb: TcbPtr, block: &Tcb) {
        let old = self.first.replace(Some(tcb));
        block.scope_next.set(old);
        if let Some(old) = old {
            // SAFETY: a scope links living tasklets only.
            unsafe { old.as_ref() }.scope_prev.set(Some(tcb));
        }
    }

    /// Lets go of one that has ended.
    fn remove(&self, block: &Tcb) {
        let (prev, next) = (block.scope_prev.take(), block.scope_next.take());
        match prev {
            // SAFETY: as in `add`.
            Some(prev) => unsafe { prev.as_ref() }.scope_next.set(next),
            None => self.first.set(next),
        }
        if let Some(next) = next {
            // SAFETY: as in `add`.
            unsafe { next.as_ref() }.scope_prev.set(prev);
        }
    }

    /// Its living tasklets.
    pub(crate) fn each(&self, mut f: impl FnMut(TcbPtr)) {
        let mut at = self.first.get();
        while let Some(tcb) = at {
            // SAFETY: as in `add`.
            at = unsafe { tcb.as_ref() }.scope_next.get();
            f(tcb);
        }
    }
}

/// Addresses of a suspended tasklet's frames, taken by itself in `task::wait`.
#[derive(Clone)]
pub(crate) struct Trace {
    pub(crate) addresses: [usize; Trace::DEPTH],
    pub(crate) len: usize,
}

impl Trace {
    /// The most frames a trace holds.
    pub(crate) const DEPTH: usize = 64;
}

/// What the user configured, resolved.
pub(crate) struct Limits {
    pub(crate) tasklets_max: usize,
    pub(crate) operations_max: usize,
    pub(crate) grace_ns: u64,
    /// How long a tasklet may hold its thread unmentioned.
    pub(crate) stall: Option<Duration>,
    /// The program is told of stalls.
    pub(crate) on_stall: Option<OnStall>,
    /// A signal shows all tasklets, or the program asks for the one that runs.
    pub(crate) shown: bool,
}

/// The number of a scheduler's first tasklet.
pub(crate) const FIRST_ID: u64 = 1;

/// Counters for `stats`.
#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) spawned: Cell<u64>,
    pub(crate) operations: Cell<u64>,
    /// Calls of one tasklet that could have waited and did not, since `busy_since`.
    pub(crate) busy_calls: Cell<u32>,
    /// The switches when `busy_calls` began.
    pub(crate) busy_since: Cell<u64>,
}

/// One thread's scheduler.
pub(crate) struct Sched {
    pub(crate) running: Cell<Option<TcbPtr>>,
    hub: Hub,
    /// How many switches until the next look outside.
    budget: Budget,
    /// Beats before somebody runs, and after.
    pub(crate) pulse: Pulse,
    pub(crate) ready: Queue<Tcb>,
    /// Started by nobody yet: they wait for a free stack.
    pub(crate) starved: Queue<Tcb>,
    tried_starved: Cell<bool>,
    pub(crate) all: Cell<Option<TcbPtr>>,
    pub(crate) live: Cell<usize>,
    pub(crate) limits: Limits,
    pub(crate) counters: Counters,
    pub(crate) observer: Option<Box<dyn Observer>>,
    /// Shutting down: everybody is killed at every suspension point.
    pub(crate) ending: Cell<bool>,
    /// The grace time has been over: who is spawned now will never run.
    late: Cell<bool>,
    /// The closure of such a one is being dropped.
    drops_late: Cell<bool>,
    grace_until: Cell<u64>,
    /// When idle stacks are looked through next.
    trim_at: Cell<u64>,
    /// The port's clock as of the last look, for what need not be exact.
    pub(crate) now: Cell<u64>,
    order: Cell<u64>,
    /// The state of [`Sched::dice`].
    dice: Cell<u64>,
    pub(crate) timed_waits: Cell<usize>,
    pub(crate) timers: RefCell<tasklet::Timers>,
    /// Requests of this thread's signal handlers. Dropped before the driver: a handler must not
    /// have the last reference to what it notifies.
    interrupts: Interrupts,
    pub(crate) driver: RefCell<Driver>,
    /// Who waits for which operation.
    pub(crate) table: RefCell<Table<SeatPtr>>,
    reaped: RefCell<Vec<Completion>>,
    pub(crate) pool: RefCell<Pool>,
    idle: RefCell<Vec<Fiber>>,
    /// The schedulers of this run, and which of them this is.
    pub(crate) group: Arc<Group>,
    pub(crate) member: usize,
    /// Names this scheduler for ever: together with a tasklet's id, that tasklet.
    pub(crate) number: u64,
    /// Names its thread, as the holder of a lock that it took outside of all runs.
    thread: u64,
    pub(crate) inbox: Arc<Inbox>,
    messages: RefCell<(Vec<Message>, Vec<Job>)>,
    /// Tasklets made of closures from the inbox that have not begun.
    pub(crate) unbegun: Cell<usize>,
    /// Who waits for a wake from another thread.
    pub(crate) remote_waits: RefCell<Table<TcbPtr>>,
    /// How many of them wait for a lock.
    pub(crate) lock_waits: Cell<usize>,
    /// The number of those waits that a thread of this process must end.
    pub(crate) thread_waits: Cell<usize>,
    /// The number of these whose time is only for looking again.
    pub(crate) thread_looks: Cell<usize>,
    /// Another one has begun since this was last asked.
    pub(crate) locks_awaited: Cell<bool>,
    lock_cycles: RefCell<witness::LockCycles>,
    /// Who has a `Remote` handle.
    pub(crate) remotes: RefCell<Table<TcbPtr>>,
    /// Who was parked for good.
    abandoned: RefCell<Vec<Waiter>>,
    /// The verdict that no waiter could be given.
    verdict: RefCell<Option<Verdict>>,
    /// The last one that was made, and how many had been parked by then.
    last_verdict: RefCell<Option<(u64, Verdict)>>,
    /// Somebody asks for everybody's backtrace.
    pub(crate) tracing: Cell<bool>,
    /// There is something to do after each switch: a trace, or a note of who ran.
    pub(crate) watched: Cell<bool>,
    /// A run of verdicts is under way, and `candidates` has everybody who can be told.
    telling_all: Cell<bool>,
    candidates: RefCell<tasklet::Candidates>,
    /// Somebody has ended since this was last asked.
    buried: Cell<bool>,
    next_id: Cell<u64>,
    /// The observer is being told something.
    telling: Cell<bool>,
    /// Who ran last; kept only where there is an observer.
    ran_last: Cell<u64>,
    /// This thread's errno. Asking for the place at every switch would take as long as the rest.
    errno: NonNull<i32>,
    /// This thread's own thread-locals.
    home: Home,
    /// Those that tasklets may have for themselves.
    blocks: RefCell<locals::Pool>,
}

thread_local! {
    /// The scheduler whose tasklet runs on this thread.
    static CURRENT: Cell<Option<NonNull<Sched>>> = const { Cell::new(None) };
}

/// The scheduler that the calling tasklet belongs to.
///
/// It exists only in code that runs on a tasklet's stack. The scheduler stays until the last of its
/// tasklets has ended or will never run again, so it is there whenever such code runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Here(NonNull<Sched>);

impl Deref for Here {
    type Target = Sched;

    #[inline]
    fn deref(&self) -> &Sched {
        // SAFETY: see the type's comment.
        unsafe { self.0.as_ref() }
    }
}

/// The scheduler of the calling tasklet, if this is one.
#[inline]
pub(crate) fn here() -> Option<Here> {
    CURRENT.with(Cell::get).map(Here)
}

impl Here {
    /// Calls `f` and puts errno back. It has hardly ever changed, and looking first costs 0.2 to
    /// 1.1 ns a switch; writing always costs 1.5 to 2.
    #[inline(always)]
    pub(crate) fn keep_errno(&self, f: impl FnOnce()) {
        if cfg!(miri) {
            return f(); // Each fiber is a thread with an errno of its own.
        }
        let place = self.errno;
        // SAFETY: the place is this thread's, which has made the scheduler and runs it, and stays
        // as long as the thread. Nobody has a reference to it.
        let before = unsafe { place.read() };
        f();
        // SAFETY: as above; a tasklet does not change its thread.
        unsafe {
            if place.read() != before {
                place.write(before);
            }
        }
    }

    /// The calling tasklet.
    #[inline]
    pub(crate) fn me(&self) -> &Tcb {
        let running = self.running.get();
        // SAFETY: code that has a `Here` runs in a tasklet, which `running` names and which lives.
        unsafe { running.unwrap_unchecked().as_ref() }
    }

    /// The calling tasklet, as a pointer to its whole allocation.
    #[inline]
    pub(crate) fn me_ptr(&self) -> TcbPtr {
        // SAFETY: as in `me`.
        unsafe { self.running.get().unwrap_unchecked() }
    }
}

impl Sched {
    /// Takes in a new tasklet and queues it at the end. The scheduler's reference is the caller's.
    /// In a shutdown it is killed before it starts.
    #[inline]
    pub(crate) fn adopt(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        #[cfg(debug_assertions)]
        block.home.set(std::ptr::from_ref(self).addr());
        block.killed.set(self.ending.get());
        let old = self.all.get();
        block.all_next.set(old);
        if let Some(old) = old {
            self.block(old).all_prev.set(Some(tcb));
        }
        in_order();
        self.all.set(Some(tcb));
        self.live.set(self.live.get() + 1);
        self.counters.spawned.set(self.counters.spawned.get() + 1);
        self.ready.push_back(tcb);
    }

    /// As [`Sched::adopt`], once the grace time is over: the calling tasklet drops the new one's
    /// closure at once. Where that spawns again, the next closure is leaked: destructors that spawn
    /// for ever come to an end.
    #[cold]
    pub(crate) fn adopt_late(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        if self.drops_late.replace(true) {
            return block.ending.set(Ending::Abandoned);
        }
        block.killed.set(true);
        // SAFETY: it has not run, and it is in no queue: nobody else runs it.
        unsafe { (block.vtable.run)(tcb) };
        self.drops_late.set(false);
        // SAFETY: the scheduler's reference; no queue or list names the block.
        unsafe { release(tcb) };
    }

    /// Tells whether somebody who is spawned now comes too late to run.
    #[inline]
    pub(crate) fn is_late(&self) -> bool {
        self.ending.get() && self.late.get()
    }

    pub(crate) fn next_id(&self) -> u64 {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        id
    }

    /// Tells whether it is the tasklet that `run` was given.
    pub(crate) fn is_first(&self, block: &Tcb) -> bool {
        self.member == 0 && block.id == 1
    }

    /// A living tasklet's block.
    #[inline]
    pub(crate) fn block(&self, tcb: TcbPtr) -> &Tcb {
        // SAFETY: every pointer that the scheduler keeps is to a tasklet that it holds a reference
        // to, and it forgets the pointer before it gives that reference back.
        unsafe { &*tcb.as_ptr() }
    }

    /// A living tasklet that somebody has a handle of, or met in a queue, is this scheduler's: see
    /// `hub.rs`.
    #[inline(always)]
    pub(crate) fn assert_ours(&self, block: &Tcb) {
        #[cfg(debug_assertions)]
        assert_eq!(block.home.get(), std::ptr::from_ref(self).addr(), "another scheduler's");
        let _ = block;
    }

    /// Every living tasklet, the youngest first.
    pub(crate) fn each(&self, mut f: impl FnMut(TcbPtr, &Tcb)) {
        let mut at = self.all.get();
        while let Some(tcb) = at {
            let block = self.block(tcb);
            at = block.all_next.get();
            f(tcb, block);
        }
    }

    /// Tells the observer, if there is one, that `running` has been switched to.
    #[inline]
    pub(crate) fn tell_switched(&self) {
        if self.observer.is_some() {
            let next = self.me().id;
            let previous = self.ran_last.replace(next);
            self.tell(|observer| observer.switched((previous != 0).then_some(previous), next));
        }
    }

    /// Tells the observer, if there is one. On a tasklet's stack; the observer must not suspend.
    #[inline]
    pub(crate) fn tell(&self, f: impl FnOnce(&dyn Observer)) {
        if let Some(observer) = &self.observer {
            if self.telling.replace(true) {
                return; // What the observer does itself is not observed.
            }
            // An observer only looks on, so nothing ends by its panic.
            self.me().hold_still(|| f(&**observer));
            self.telling.set(false);
        }
    }

    /// The running tasklet.
    #[inline]
    fn me(&self) -> &Tcb {
        match self.running.get() {
            Some(tcb) => self.block(tcb),
            None => unreachable!("called by a tasklet"),
        }
    }

    /// A number that grows with every parking.
    #[inline]
    pub(crate) fn next_order(&self) -> u64 {
        let order = self.order.get() + 1;
        self.order.set(order);
        order
    }

    /// A number that nobody foresees, the same in every run: which of several is to be first.
    pub(crate) fn dice(&self) -> u64 {
        // xorshift64*; its upper half is the better one.
        let mut x = self.dice.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.dice.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    /// Makes a waiting tasklet ready, at the end. It must be in no queue any more.
    #[inline]
    pub(crate) fn wake(&self, tcb: TcbPtr, why: Wake) {
        self.unpark(tcb, why);
        self.ready.push_back(tcb);
    }

    /// Makes a waiting tasklet ready without queueing it: the caller does.
    #[inline]
    pub(crate) fn unpark(&self, tcb: TcbPtr, why: Wake) {
        let block = self.block(tcb);
        self.assert_ours(block);
        assert!(block.state.get() == State::Waiting, "only a waiting tasklet can be woken");
        // Who was ready before it was paused goes on with the reason it was woken for.
        if !matches!(block.waiting.get(), Waiting::Held) {
            block.wake.set(why);
        }
        block.state.set(State::Ready);
        in_order();
        block.waiting.set(Waiting::Nothing);
        if block.wait_until.get() != NEVER {
            block.wait_until.set(NEVER);
            self.timed_waits.set(self.timed_waits.get() - 1);
        }
    }

    /// Reads the port's clock.
    pub(crate) fn read_clock(&self) -> u64 {
        let now = clock::nanos();
        self.now.set(now);
        now
    }

    /// Registers the caller for a wake from another thread.
    pub(crate) fn remote_wait(&self, tcb: TcbPtr) -> Token {
        match self.remote_waits.borrow_mut().insert(tcb) {
            Ok(token) => token,
            Err(_) => unreachable!("the table of remote waits has no limit of its own"),
        }
    }
}
