//! The tasklet control block: one allocation per tasklet, from `spawn` to the last handle's drop.
//!
//! ```text
//!   Task<F, T>  = Tcb (this file: links, state, what it waits for)  +  closure, later result
//!   refs        = 1 for the scheduler while the tasklet lives  +  1 for its handle
//! ```
//!
//! Only the thread whose scheduler owns the tasklet touches its block, so every field is a plain
//! `Cell`. Another thread cannot reach it: a `Remote` handle knows a token and the inbox, not the
//! block.
//!
//! The states, and where the block is linked meanwhile (it is in one queue at most):
//!
//! | [`State`] | linked in | leaves by |
//! |---|---|---|
//! | `New` | ready queue, or the queue for a free stack | first switch → `Running` |
//! | `Ready` | ready queue | switch → `Running`; others pause it → `Waiting(PausedByOther)` |
//! | `Running` | nowhere | park → `Waiting`; yield → `Ready`; end → `Done` |
//! | `Waiting` | its channel's queue, or nowhere | `Sched::wake` → `Ready` |
//! | `Done` | nowhere | never |

use std::any::{Any, TypeId};
use std::cell::{Cell, UnsafeCell};
use std::panic::Location;
use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{Ordering, compiler_fence};

use super::cleanup::Cleanups;
use super::counts::overflow;
use super::holder::{Holder, LockKind};
use super::queue::Linked;
use super::trace::Trace;
use super::wait_node::{JoinWaiter, SelectState, WaitNode, WaitNodePtr, WaitQueue, Wake};
use crate::op::{Outcome, Token};
use crate::sched::DeadlockReport;
use crate::switch::{Fiber, Position, Suspender};
use crate::sys::descriptor::Raw;

/// A pointer to a control block. It is valid as long as its owner counts as a reference.
pub(crate) type TcbPtr = NonNull<Tcb>;

// SAFETY: the node is the first field, and the links are a node's.
unsafe impl Linked for Tcb {}

/// Returns the node in a tasklet's control block.
#[inline(always)]
pub(crate) fn node_of(tcb: TcbPtr) -> WaitNodePtr {
    tcb.cast()
}

/// Returns the tasklet of a node that [`node_of`] returned.
#[inline(always)]
pub(in crate::sched) fn tcb_of(node: WaitNodePtr) -> TcbPtr {
    node.cast()
}

/// The place in the program where a tasklet was spawned.
pub(crate) type Origin = &'static Location<'static>;

/// A range of addresses.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The depth to which the user's code may nest `shield`, `no_switch` and `kill_as_error`. This
/// library's own calls, in which observers and wakers run, always have room above it.
pub(crate) const DEPTH_MAX: u16 = u16::MAX - 8;

/// `Tcb::timer_at` of a tasklet without an entry in the heap.
pub(super) const NOT_ARMED: u32 = u32::MAX;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// The stage of a tasklet's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Spawned, never run: it has no stack yet.
    New,
    /// Queued to go on.
    Ready,
    /// On its stack now.
    Running,
    /// Suspended until it is woken; `Tcb::waiting` says by what.
    Waiting,
    /// Ended: its closure and frames are gone.
    Done,
}

/// The object of a suspended tasklet's wait.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Waiting {
    /// Nothing: it runs or is ready.
    Nothing,
    /// An operation's terminal completion. The wait cannot be ended early: the operation is asked
    /// to end, and decides.
    Op { token: Token, name: &'static str, fd: Raw },
    /// A partner in a channel.
    Channel { queue: NonNull<WaitQueue>, sending: bool },
    /// Another tasklet's end.
    Join(TcbPtr),
    /// The first of several alternatives.
    Select(NonNull<SelectState>),
    /// The end of a member of its group.
    Member(NonNull<JoinWaiter>),
    /// A point in time only.
    Sleep,
    /// A call of `resume`: the tasklet called `pause`.
    Paused,
    /// A call of `resume`: others have paused the tasklet, which was ready.
    PausedByOther,
    /// The end of a scope's tasklets. Nothing else ends the wait.
    Scope(NonNull<ScopeState>),
    /// Another thread's wake. `what` is for dumps; `can_fail`: the call can return an error.
    Remote { token: Token, what: &'static str, can_fail: bool },
    /// A change that a tasklet or a thread of this process must bring about.
    Threads { token: Token, what: NonNull<Awaited> },
    /// A lock, which another thread may release unless it is held on this one.
    Lock { token: Token, kind: LockKind, holder: NonNull<Holder> },
}

/// The object of a wait for threads: in words, and its address, if it has one. Lies in the frame of
/// the call that waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Awaited {
    pub(crate) what: &'static str,
    /// The address of the event; 0 if it has none.
    pub(crate) at: usize,
}

impl Waiting {
    /// Tells whether the call that waits can return that a kill has ended it.
    pub(crate) fn can_say_killed(self) -> bool {
        match self {
            Waiting::Op { .. }
            | Waiting::Channel { .. }
            | Waiting::Join(_)
            | Waiting::Select(_)
            | Waiting::Member(_)
            // The sleep ends early, and the caller's next call says why.
            | Waiting::Sleep => true,
            Waiting::Remote { can_fail, .. } => can_fail,
            Waiting::Nothing
            | Waiting::Paused
            | Waiting::PausedByOther
            | Waiting::Scope(_)
            | Waiting::Threads { .. }
            | Waiting::Lock { .. } => false,
        }
    }

    /// Tells whether the call that waits can return a deadlock report.
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
            | Waiting::PausedByOther
            | Waiting::Scope(_)
            | Waiting::Remote { .. }
            | Waiting::Threads { .. }
            | Waiting::Lock { .. } => false,
        }
    }
}

/// The type-erased half of `Task<F, T>`.
pub(crate) struct VTable {
    /// Runs the closure, or drops it if the tasklet was killed before it started; keeps or drops
    /// the result. Called on the tasklet's own stack. Never unwinds.
    pub(crate) run: unsafe fn(TcbPtr),
    /// Frees the allocation. The closure and the result are gone by then.
    pub(crate) free: unsafe fn(TcbPtr),
}

/// The owner of the thread-locals that a tasklet's code finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Locals {
    /// The thread.
    Threads,
    /// The tasklet, from its first run on.
    Asked,
    /// The tasklet: it is on its block except on its way out or in.
    Own,
}

/// The way in which a tasklet ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The tasklet has not ended.
    Alive,
    /// Its closure returned.
    Returned,
    /// Its closure panicked.
    Panicked,
    /// It was killed.
    Killed,
    /// It never ran, because a stack of its size cannot be made.
    NoStack,
    /// It outlived the grace time: it is parked for good, or has never begun and never will.
    Abandoned,
}

/// The control block. Hot fields come first.
#[repr(C)]
pub(crate) struct Tcb {
    /// The node for waits for one event; its links also serve the scheduler's own queues.
    pub(crate) node: WaitNode,
    pub(crate) state: Cell<State>,
    pub(crate) wake: Cell<Wake>,
    /// Set while a requested kill has not been delivered.
    pub(crate) killed: Cell<bool>,
    /// Set when the pending operation was cancelled, by a kill or a deadline.
    pub(crate) cancel_requested: Cell<bool>,
    /// The depth of `shield`: kills are held off.
    pub(crate) shields: Cell<u16>,
    /// The depth of `no_switch`: suspensions fail.
    pub(crate) no_switch: Cell<u16>,
    /// The point on its stack at which it is suspended.
    pub(crate) position: Position,
    /// The stack and context, from the first run to the end.
    pub(crate) fiber: UnsafeCell<Option<Fiber>>,
    pub(crate) suspender: Cell<*const Suspender>,
    /// The owner of the thread-locals that its code finds.
    pub(crate) locals: Cell<Locals>,
    /// The guard of its stack; the usable part begins at its end.
    pub(crate) guard: Cell<Span>,
    pub(crate) waiting: Cell<Waiting>,
    /// The end of the present wait, in nanoseconds of the port's clock, or [`NEVER`].
    pub(crate) wait_until: Cell<u64>,
    /// The outcome of its last operation.
    pub(crate) outcome: Cell<Outcome>,
    /// The deadline that `timeout` set, or [`NEVER`].
    pub(crate) deadline: Cell<u64>,
    /// Its place in the timers' heap, or [`NOT_ARMED`].
    pub(crate) timer_at: Cell<u32>,
    pub(crate) refs: Cell<u32>,
    pub(crate) vtable: &'static VTable,
    pub(crate) id: u64,
    pub(crate) ending: Cell<Ending>,
    /// The depth of `kill_as_error`: a kill ends calls with an error.
    pub(crate) kill_errors: Cell<u16>,
    /// The signal handlers that end its waits, as bits.
    pub(crate) interruptible: Cell<u8>,
    /// Set when a signal handler has ended its wait.
    pub(crate) interrupted: Cell<bool>,
    /// Set when the handle is gone: the tasklet drops its own result.
    pub(crate) detached: Cell<bool>,
    /// Set while it waits in `Sched::waiting_for_stack`.
    pub(crate) waits_for_stack: Cell<bool>,
    /// The node that waits for its end in `join`.
    pub(crate) joiner: JoinWaiter,
    /// The scope to which it belongs.
    pub(crate) scope: Cell<Option<NonNull<ScopeState>>>,
    /// The other tasklets of its scope.
    pub(crate) scope_next: Cell<Option<TcbPtr>>,
    pub(crate) scope_prev: Cell<Option<TcbPtr>>,
    /// Set when its closure has ended, or never ran, and the remaining values are being dropped.
    pub(crate) last_drops: Cell<bool>,
    /// Set when a kill has been delivered to it and it lives on.
    pub(crate) outlived_kill: Cell<bool>,
    /// Its neighbours in the list of the scheduler's living tasklets.
    pub(crate) all_next: Cell<Option<TcbPtr>>,
    pub(crate) all_prev: Cell<Option<TcbPtr>>,
    /// The begin of the present wait, on the scheduler's coarse clock; `parked_at` breaks ties.
    pub(crate) since: Cell<u64>,
    /// The order of parking, for "the last waiter".
    pub(crate) parked_at: Cell<u64>,
    /// The calls to make for others if it is parked for good.
    pub(in crate::sched) cleanups: Cleanups,
    /// Rarely used parts, made when first needed.
    pub(crate) extra: UnsafeCell<Option<Box<Extra>>>,
    /// Set if it was given a name, before its first run.
    pub(crate) is_named: Cell<bool>,
    /// Set if a stack of its size could not be made.
    pub(crate) no_stack: Cell<bool>,
    /// The stack size requested for it, in bytes; 0 for the default.
    pub(crate) stack_size: Cell<usize>,
    /// The call that spawned it.
    pub(crate) spawned_at: Origin,
    /// The address of its scheduler, which is there until the tasklet has ended.
    #[cfg(debug_assertions)]
    pub(crate) home: Cell<usize>,
}

/// The rarely used parts of a control block.
#[derive(Default)]
pub(crate) struct Extra {
    pub(crate) name: Option<Box<str>>,
    /// Its entry in `Sched::remotes`, once it has a handle for other threads.
    pub(crate) remote: Option<Token>,
    /// Tasklet-local values, by the address and type of their key.
    pub(crate) locals: Vec<((usize, TypeId), Rc<dyn Any>)>,
    /// The handle by which the module `thread` knows it.
    pub(crate) identity: Option<std::sync::Arc<dyn Any + Send + Sync>>,
    /// The deadlock report that comes with `Wake::Deadlock`.
    pub(crate) deadlock_report: Option<DeadlockReport>,
    /// Tells others that it was abandoned. Neither runs nor drops anything of the user's.
    pub(crate) on_abandon: Option<Box<dyn FnOnce()>>,
    /// The waker of an executor that polls its end.
    pub(crate) waker: Option<std::task::Waker>,
    /// The place for a backtrace that a dump asks for.
    pub(crate) trace: Option<NonNull<Trace>>,
}

impl Tcb {
    /// Makes a block for a tasklet that has not started, with one reference for the scheduler and
    /// one for the handle.
    #[inline(always)]
    pub(crate) fn new(vtable: &'static VTable, id: u64, spawned_at: Origin) -> Tcb {
        Tcb {
            node: WaitNode::new_in_tasklet(),
            state: Cell::new(State::New),
            wake: Cell::new(Wake::Done),
            killed: Cell::new(false),
            cancel_requested: Cell::new(false),
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
            waits_for_stack: Cell::new(false),
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

    /// Returns the stack and context, from the first run to the end.
    #[inline(always)]
    pub(crate) fn fiber(&self) -> Option<&Fiber> {
        // SAFETY: only its own thread touches the block. Only the hub puts a fiber here and takes
        // it out, before the first run and after the last, and never while it has such a reference:
        // those are held only to inspect the fiber, or while a tasklet runs.
        unsafe { &*self.fiber.get() }.as_ref()
    }

    /// Makes the tasklet wait from now on.
    #[inline(always)]
    pub(crate) fn wait_for(&self, waiting: Waiting) {
        self.waiting.set(waiting);
        order_for_handler();
        self.state.set(State::Waiting);
    }

    /// Calls `f` with the rarely used parts, if there are any. `f` must not reach this block again.
    pub(crate) fn extra<R>(&self, f: impl FnOnce(Option<&mut Extra>) -> R) -> R {
        // SAFETY: only its own thread touches the block, and `f` is one of this crate's closures,
        // each of which only reads or replaces fields: it neither calls user code nor comes back
        // here, so this is the only reference.
        f(unsafe { (*self.extra.get()).as_deref_mut() })
    }

    /// Calls `f` with the rarely used parts, made if need be. `f` must not reach this block again.
    pub(crate) fn extra_or_new<R>(&self, f: impl FnOnce(&mut Extra) -> R) -> R {
        // SAFETY: as in `extra`.
        f(unsafe { (*self.extra.get()).get_or_insert_default() })
    }

    /// Tells whether the block holds a value that the user's code drops.
    pub(crate) fn has_users_values(&self) -> bool {
        self.extra(|extra| {
            extra.is_some_and(|extra| !extra.locals.is_empty() || extra.waker.is_some())
        })
    }

    /// Returns the name given to `Builder::name`.
    pub(crate) fn name(&self) -> Option<String> {
        self.extra(|extra| extra?.name.as_deref().map(String::from))
    }

    /// Its number, and its name if it has one: for messages.
    pub(crate) fn who(&self) -> String {
        match self.name() {
            Some(name) => format!("tasklet {} '{name}'", self.id),
            None => format!("tasklet {}", self.id),
        }
    }

    /// Returns the name to a signal handler, which may have interrupted anything.
    pub(crate) fn name_in_handler(&self) -> Option<&str> {
        if !self.is_named.get() {
            return None;
        }
        // SAFETY: a box in an option is a pointer. A name is set before the first run, so the box
        // is there and stays, and nothing writes to this field any more; no other field is referred
        // to.
        unsafe {
            let extra = self.extra.get().cast::<*const Extra>().read_volatile();
            let name: *const Option<Box<str>> = &raw const (*extra).name;
            (*name).as_deref()
        }
    }

    /// Tells whether it has ended or is parked for good.
    pub(crate) fn is_over(&self) -> bool {
        self.ending.get() != Ending::Alive
    }
}

/// The tasklets of a scope, linked through their blocks. Lies in the frame of `scope`.
#[derive(Default)]
pub(crate) struct ScopeState {
    /// The first tasklet that has not ended.
    pub(crate) first: Cell<Option<TcbPtr>>,
    /// The tasklet that waits for them in `Waiting::Scope`.
    pub(crate) owner: Cell<Option<TcbPtr>>,
    /// Set when a tasklet has panicked and was not joined.
    pub(crate) panicked: Cell<bool>,
}

impl ScopeState {
    /// Adds a new tasklet.
    pub(crate) fn add(&self, tcb: TcbPtr, block: &Tcb) {
        let old = self.first.replace(Some(tcb));
        block.scope_next.set(old);
        if let Some(old) = old {
            // SAFETY: a scope links living tasklets only.
            unsafe { old.as_ref() }.scope_prev.set(Some(tcb));
        }
    }

    /// Removes a tasklet that has ended.
    pub(in crate::sched) fn remove(&self, block: &Tcb) {
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

    /// Calls `f` for each living tasklet.
    pub(crate) fn each(&self, mut f: impl FnMut(TcbPtr)) {
        let mut at = self.first.get();
        while let Some(tcb) = at {
            // SAFETY: as in `add`.
            at = unsafe { tcb.as_ref() }.scope_next.get();
            f(tcb);
        }
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

/// Drops one reference; dropping the last one frees the block.
///
/// # Safety
/// The caller owns the reference and does not use `tcb` afterwards.
pub(crate) unsafe fn release(tcb: TcbPtr) {
    // SAFETY: the caller's reference keeps the block there until here.
    let block = unsafe { tcb.as_ref() };
    let refs = block.refs.get() - 1;
    block.refs.set(refs);
    if refs == 0 {
        // SAFETY: no other reference exists.
        unsafe { (block.vtable.free)(tcb) };
    }
}

/// Keeps the compiler from moving writes across this point, as far as a signal handler on this
/// thread can see. `observer/describe` says what it reads.
#[inline(always)]
pub(in crate::sched) fn order_for_handler() {
    compiler_fence(Ordering::SeqCst);
}
