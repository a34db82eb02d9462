//! The tasklet control block: one allocation per tasklet, from `spawn` to the last handle's drop.
//!
//! ```text
//!   Task<F, T>  = Tcb (this file: links, state, what it waits for)  +  closure, later result
//!   refs        = 1 for the scheduler while the tasklet lives  +  1 for its handle
//! ```
//!
//! Who may touch what: only the thread whose scheduler owns the tasklet, so every field is a plain
//! `Cell`. Nothing here is reachable from another thread: a `Remote` handle knows a token and the
//! inbox, not the block.
//!
//! States, and where the block is linked meanwhile (it is in one queue at most):
//!
//! | [`State`] | linked in | leaves by |
//! |---|---|---|
//! | `New` | ready queue, or the queue for a free stack | first switch → `Running` |
//! | `Ready` | ready queue | switch → `Running`; others pause it → `Waiting(Held)` |
//! | `Running` | nowhere | park → `Waiting`; yield → `Ready`; end → `Done` |
//! | `Waiting` | its channel's queue, or nowhere | `Sched::wake` → `Ready` |
//! | `Done` | nowhere | never |

use std::any::{Any, TypeId};
use std::cell::{Cell, UnsafeCell};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;
use std::rc::Rc;

use super::abandon::Cleanups;
use super::users_turn;
use super::witness::in_order;
use crate::op::{Outcome, Token};
use crate::switch::{Fiber, Position, Suspender};

mod candidates;
mod choice;
pub(super) mod counts;
mod holder;
mod queue;
mod seat;
mod timers;

pub(super) use candidates::Candidates;
use counts::overflow;
pub(crate) use holder::{Holder, LockKind, LockWait, thread_number};
pub(crate) use queue::Queue;
use seat::Sitter;
pub(crate) use seat::{Alternative, Bell, Choice, Place, Seat, SeatPtr, seat_of};
use timers::NOT_ARMED;
pub(super) use timers::Timers;

/// A pointer to a control block. Valid while a reference is counted for whoever holds it.
pub(crate) type TcbPtr = NonNull<Tcb>;

/// The place in the program where a tasklet was spawned.
pub(crate) type Origin = &'static Location<'static>;

/// A range of addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The depth to which the user's code may nest `shield`, `no_switch` and `kill_as_error`. Calls of
/// this library's own, which observers and wakers are called in, always have room above.
pub(crate) const DEPTH_MAX: u16 = u16::MAX - 8;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// Where a tasklet is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Spawned, never run: it has no stack yet.
    New,
    /// Queued to go on.
    Ready,
    /// On its stack now.
    Running,
    /// Suspended until somebody wakes it; `Tcb::waiting` says by what.
    Waiting,
    /// Ended: its closure and frames are gone.
    Done,
}

/// What a suspended tasklet waits for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    /// Nothing: it runs or is ready.
    Nothing,
    /// An operation's terminal completion. The only wait that nobody can cut short.
    Op { token: Token, name: &'static str, fd: i32 },
    /// A partner in a channel.
    Channel { queue: NonNull<super::WaitQueue>, sending: bool },
    /// Another tasklet's end.
    Join(TcbPtr),
    /// The first of several alternatives.
    Select(NonNull<Choice>),
    /// The end of a member of its group.
    Member(NonNull<Bell>),
    /// A point in time only.
    Sleep,
    /// Somebody's `resume`: it called `pause`.
    Paused,
    /// The same, but it was ready: others have paused it, wherever it was.
    Held,
    /// The end of a scope's tasklets.
    Scope(NonNull<super::ScopeState>),
    /// Another thread's wake; `what` for dumps. `can_fail`: the call can return an error.
    Remote { token: Token, what: &'static str, can_fail: bool },
    /// A change that a tasklet or a thread of this process must bring about.
    Threads { token: Token, what: NonNull<Awaited> },
    /// A lock, which another thread may release unless it is held on this one.
    Lock { token: Token, kind: LockKind, holder: NonNull<Holder> },
}

/// The object of a wait for threads, in words, and its address, where it has one. In the frame of
/// the call that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    pub(crate) what: &'static str,
    /// 0: none.
    pub(crate) at: usize,
}

impl Waiting {
    /// Tells whether the call that waits can say that a kill has ended it.
    pub(crate) fn can_say_killed(self) -> bool {
        match self {
            Waiting::Op { .. }
            | Waiting::Channel { .. }
            | Waiting::Join(_)
            | Waiting::Select(_)
            | Waiting::Member(_)
            // It ends early, and what comes next says so.
            | Waiting::Sleep => true,
            Waiting::Remote { can_fail, .. } => can_fail,
            Waiting::Nothing
            | Waiting::Paused
            | Waiting::Held
            | Waiting::Scope(_)
            | Waiting::Threads { .. }
            | Waiting::Lock { .. } => false,
        }
    }

    /// Whether the call that waits can return a deadlock's verdict.
    pub(crate) fn can_fail(self) -> bool {
        match self {
            Waiting::Channel { .. }
            | Waiting::Join(_)
            | Waiting::Select(_)
            | Waiting::Member(_) => true,
            Waiting::Nothing
            | Waiting::Op { .. }
            | Waiting::Sleep
            | Waiting::Paused
            | Waiting::Held
            | Waiting::Scope(_)
            | Waiting::Remote { .. }
            | Waiting::Threads { .. }
            | Waiting::Lock { .. } => false,
        }
    }
}

/// Why a suspended tasklet goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wake {
    /// What it waited for has happened.
    Done,
    /// Its deadline passed.
    TimedOut,
    /// It was killed.
    Killed,
    /// Nobody is left who could wake it.
    Deadlock,
    /// Its channel was closed.
    Closed,
}

/// The type-erased half of `Task<F, T>`.
pub(crate) struct VTable {
    /// Runs the closure, or drops it where the tasklet was killed before it started; keeps or
    /// drops the result. Never unwinds. On the tasklet's own stack.
    pub(crate) run: unsafe fn(TcbPtr),
    /// Frees the allocation. The closure and the result are gone by then.
    pub(crate) free: unsafe fn(TcbPtr),
}

/// The owner of the thread-locals that a tasklet's code finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Locals {
    /// Its thread's.
    Threads,
    /// Its own, from its first run on.
    Asked,
    /// Its own: it is on its block wherever it is not on its way out or in.
    Own,
}

/// How a tasklet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Not yet.
    Alive,
    /// Its closure returned.
    Returned,
    /// Its closure panicked.
    Panicked,
    /// It was killed.
    Killed,
    /// It never ran: the stack that it asked for cannot be made.
    NoStack,
    /// It outlived the grace time: it is parked for good, or has never begun and never will.
    Abandoned,
}

/// The control block. Hot fields first.
#[repr(C)]
pub(crate) struct Tcb {
    /// Where it waits for others, and what links it into queues.
    pub(crate) seat: Seat,
    pub(crate) state: Cell<State>,
    pub(crate) wake: Cell<Wake>,
    /// A kill was asked for and has not been delivered.
    pub(crate) killed: Cell<bool>,
    /// The pending operation has been asked to end, by a kill or by a deadline.
    pub(crate) cut: Cell<bool>,
    /// `shield` depth: kills are held off.
    pub(crate) shields: Cell<u16>,
    /// `no_switch` depth: suspensions fail.
    pub(crate) no_switch: Cell<u16>,
    /// Where it is suspended on its stack.
    pub(crate) position: Position,
    /// The stack and context, from the first run to the end.
    pub(crate) fiber: UnsafeCell<Option<Fiber>>,
    pub(crate) suspender: Cell<*const Suspender>,
    /// The owner of the thread-locals that it finds.
    pub(crate) locals: Cell<Locals>,
    /// Its stack's guard; the usable part begins at its end.
    pub(crate) guard: Cell<Span>,
    pub(crate) waiting: Cell<Waiting>,
    /// Until when the present wait lasts, in nanoseconds of the port's clock, or [`NEVER`].
    pub(crate) wait_until: Cell<u64>,
    /// What the last operation returned.
    pub(crate) outcome: Cell<Outcome>,
    /// The deadline that `timeout` set, or [`NEVER`].
    pub(crate) deadline: Cell<u64>,
    /// Its place in the timer heap, or [`NOT_ARMED`].
    pub(crate) timer_at: Cell<u32>,
    pub(crate) refs: Cell<u32>,
    pub(crate) vtable: &'static VTable,
    pub(crate) id: u64,
    pub(crate) ending: Cell<Ending>,
    /// `kill_as_error` depth: a kill ends calls with an error.
    pub(crate) kill_errors: Cell<u16>,
    /// The signal handlers that end its waits, as bits.
    pub(crate) interruptible: Cell<u8>,
    /// A signal handler has ended its wait.
    pub(crate) interrupted: Cell<bool>,
    /// The handle is gone: the tasklet drops its own result.
    pub(crate) detached: Cell<bool>,
    /// It waits in `Sched::starved` for a stack.
    pub(crate) is_starved: Cell<bool>,
    /// Who waits for its end in `join`.
    pub(crate) joiner: Bell,
    /// The scope it belongs to.
    pub(crate) scope: Cell<Option<NonNull<super::ScopeState>>>,
    /// The other tasklets of its scope.
    pub(crate) scope_next: Cell<Option<TcbPtr>>,
    pub(crate) scope_prev: Cell<Option<TcbPtr>>,
    /// Its closure is done, or never ran, and what it leaves behind is being dropped.
    pub(crate) last_drops: Cell<bool>,
    /// It has been given a kill already and lives on.
    pub(crate) outlived_kill: Cell<bool>,
    /// Every living tasklet of the scheduler, for dumps and shutdown.
    pub(crate) all_next: Cell<Option<TcbPtr>>,
    pub(crate) all_prev: Cell<Option<TcbPtr>>,
    /// When the present wait began, on the scheduler's coarse clock; breaks ties by order.
    pub(crate) since: Cell<u64>,
    /// The order of parking, for "the last waiter".
    pub(crate) parked_at: Cell<u64>,
    /// What it has to do for others if it is parked for good.
    pub(in crate::sched) cleanups: Cleanups,
    /// Rarely used parts, made when first needed.
    pub(crate) extra: UnsafeCell<Option<Box<Extra>>>,
    /// It was given a name, before its first run.
    pub(crate) is_named: Cell<bool>,
    /// The stack that it asked for cannot be made.
    pub(crate) no_stack: Cell<bool>,
    /// Stack size asked for, in bytes; 0 for the default.
    pub(crate) stack_size: Cell<usize>,
    /// The call that made it.
    pub(crate) spawned_at: Origin,
    /// The address of its scheduler, which is there until the tasklet is over.
    #[cfg(debug_assertions)]
    pub(crate) home: Cell<usize>,
}

/// The rarely used parts of a control block.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    /// What its handles in other threads share with it; it is in `Sched::remotes` then.
    pub(crate) line: Option<std::sync::Arc<super::Line>>,
    /// Tasklet-local values, by the address and type of their key.
    pub(crate) locals: Vec<((usize, TypeId), Rc<dyn Any>)>,
    /// What the room `thread` knows it by.
    pub(crate) identity: Option<std::sync::Arc<dyn Any + Send + Sync>>,
    /// The verdict behind `Wake::Deadlock`.
    pub(crate) verdict: Option<super::Verdict>,
    /// Tells others that it was abandoned. Neither runs nor drops anything of the user's.
    pub(crate) on_abandon: Option<Box<dyn FnOnce()>>,
    /// An executor that polls its end.
    pub(crate) waker: Option<std::task::Waker>,
    /// A dump asks for a backtrace here.
    pub(crate) trace: Option<NonNull<super::Trace>>,
}

impl Tcb {
    /// A block for a tasklet that has not started, with one reference for the scheduler and one for
    /// the handle.
    #[inline(always)]
    pub(crate) fn new(vtable: &'static VTable, id: u64, spawned_at: Origin) -> Tcb {
        Tcb {
            seat: Seat::of_tasklet(),
            state: Cell::new(State::New),
            wake: Cell::new(Wake::Done),
            killed: Cell::new(false),
            cut: Cell::new(false),
            shields: Cell::new(0),
            no_switch: Cell::new(0),
            position: Position::new(),
            fiber: UnsafeCell::new(None),
            suspender: Cell::new(std::ptr::null()),
            locals: Cell::new(Locals::Threads),
            guard: Cell::new(Span::default()),
            waiting: Cell::new(Waiting::Nothing),
            wait_until: Cell::new(NEVER),
            outcome: Cell::new(Outcome::DONE),
            deadline: Cell::new(NEVER),
            timer_at: Cell::new(NOT_ARMED),
            refs: Cell::new(2),
            vtable,
            id,
            ending: Cell::new(Ending::Alive),
            kill_errors: Cell::new(0),
            interruptible: Cell::new(0),
            interrupted: Cell::new(false),
            detached: Cell::new(false),
            is_starved: Cell::new(false),
            joiner: Cell::new(None),
            scope: Cell::new(None),
            scope_next: Cell::new(None),
            scope_prev: Cell::new(None),
            last_drops: Cell::new(false),
            outlived_kill: Cell::new(false),
            all_next: Cell::new(None),
            all_prev: Cell::new(None),
            since: Cell::new(0),
            parked_at: Cell::new(0),
            cleanups: Cell::new(None),
            extra: UnsafeCell::new(None),
            is_named: Cell::new(false),
            no_stack: Cell::new(false),
            stack_size: Cell::new(0),
            spawned_at,
            #[cfg(debug_assertions)]
            home: Cell::new(0),
        }
    }

    /// The stack and context, from the first run to the end.
    #[inline(always)]
    pub(crate) fn fiber(&self) -> Option<&Fiber> {
        // SAFETY: the block is only touched by its own thread. Only the hub puts a fiber here and
        // takes it out, before the first run and after the last, and never with such a reference at
        // hand: those are held while looking at it, or while somebody runs.
        unsafe { &*self.fiber.get() }.as_ref()
    }

    /// It waits from now on.
    #[inline(always)]
    pub(crate) fn wait_for(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        in_order();
        self.state.set(State::Waiting);
    }

    /// The rarely used parts, where there are any. The closure must not reach this block again.
    pub(crate) fn extra<R>(&self, f: impl FnOnce(Option<&mut Extra>) -> R) -> R {
        // SAFETY: the block is only touched by its own thread, and `f` is one of this crate's
        // closures, each of which only reads or replaces fields: it neither calls user code nor
        // comes back here, so this is the only reference.
        f(unsafe { (*self.extra.get()).as_deref_mut() })
    }

    /// The rarely used parts, made if need be. The closure must not reach this block again.
    pub(crate) fn extra_or_new<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        // SAFETY: as in `extra`.
        f(unsafe { (*self.extra.get()).get_or_insert_default() })
    }

    /// Calls the user's `f`, which is to look on only: it may not wait, and it is not killed. By
    /// its panic, which the hook has printed, nothing ends.
    pub(crate) fn hold_still(&self, f: impl FnOnce()) {
        users_turn();
        self.no_switch.set(self.no_switch.get() + 1);
        self.shields.set(self.shields.get() + 1);
        let looked = catch_unwind(AssertUnwindSafe(f));
        self.shields.set(self.shields.get() - 1);
        self.no_switch.set(self.no_switch.get() - 1);
        if let Err(payload) = looked {
            std::mem::forget(payload);
        }
    }

    /// Tells whether something is in the block that the user's code drops.
    pub(crate) fn has_users_values(&self) -> bool {
        self.extra(|extra| {
            extra.is_some_and(|extra| !extra.locals.is_empty() || extra.waker.is_some())
        })
    }

    /// The name given to `Builder::name`.
    pub(crate) fn name(&self) -> Option<String> {
        self.extra(|extra| extra?.name.as_deref().map(String::from))
    }

    /// Its number, and its name where it has one.
    pub(crate) fn who(&self) -> String {
        match self.name() {
            Some(name) => format!("tasklet {} '{name}'", self.id),
            None => format!("tasklet {}", self.id),
        }
    }

    /// The name as a signal handler may look at it, which may have interrupted anything.
    pub(crate) fn name_in_handler(&self) -> Option<&str> {
        if !self.is_named.get() {
            return None;
        }
        // SAFETY: a box in an option is a pointer. A name is set before the first run, so the box
        // is there and stays, and nobody writes to this field of it any more; no other is referred
        // to.
        unsafe {
            let extra = self.extra.get().cast::<*const Extra>().read_volatile();
            let name: *const Option<Box<str>> = &raw const (*extra).name;
            (*name).as_deref()
        }
    }

    /// Whether it has ended or is parked for good.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.get() != Ending::Alive
    }
}

/// Takes one more reference.
pub(crate) fn retain(tcb: TcbPtr) {
    // SAFETY: the caller holds a reference, so the block is there.
    let refs = unsafe { &tcb.as_ref().refs };
    // A handle that is forgotten stays counted.
    let Some(more) = refs.get().checked_add(1) else { overflow("handles of a tasklet") };
    refs.set(more);
}

/// Gives one reference back; the last one frees the block.
///
/// # Safety
/// The caller owns the reference and does not use `tcb` afterwards.
pub(crate) unsafe fn release(tcb: TcbPtr) {
    // SAFETY: the caller's reference keeps the block there until here.
    let block = unsafe { tcb.as_ref() };
    let refs = block.refs.get() - 1;
    block.refs.set(refs);
    if refs == 0 {
        // SAFETY: nobody else holds a reference.
        unsafe { (block.vtable.free)(tcb) };
    }
}
