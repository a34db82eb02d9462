//! Spawning: the closure becomes a `Task<F, T>`, one allocation with its control block.
//!
//! The closure is moved to the tasklet's own stack when it first runs. The result takes its place
//! in the allocation and stays for the handle. Each value is dropped by one party:
//!
//! | value | dropped by |
//! |---|---|
//! | closure of a tasklet killed before its start | the tasklet, on its own stack |
//! | result, handle gone | the tasklet, on its own stack |
//! | result, handle there | `join`'s caller, or the code that drops the handle |
//! | locals | the tasklet, on its own stack |

mod handle;
mod place;
mod remote;
mod scope;

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;

use super::wait::is_doomed;
use super::{TaskletExit, WaitError};
pub(crate) use handle::take_deadlock_report;
pub use handle::{Current, JoinError, PauseError, Tasklet, TaskletId};
pub(in crate::task) use place::place_for;
pub use place::{Placed, Spawner, place, place_on, place_on_each, schedulers, spawner};
pub use remote::Remote;
pub(crate) use scope::scope_or_panic;
pub use scope::{Scope, ScopedTasklet, scope};

use crate::locals;
use crate::sched::{
    Ending, Here, Intake, Locals, Origin, ScopeState, Tcb, TcbPtr, VTable, assert_off_hub,
    drop_locals, drop_quietly, end_locals, here,
};
use crate::stack::STACK_MAX;

/// The result of a tasklet's closure.
pub(crate) type Returned<T> = Result<T, Box<dyn Any + Send>>;

enum Contents<F, T> {
    Closure(F),
    Result(Returned<T>),
    Empty,
}

/// A control block with its closure, later its result. The block is the first field: a pointer to
/// one is a pointer to the other.
#[repr(C)]
struct Task<F, T> {
    tcb: Tcb,
    contents: UnsafeCell<Contents<F, T>>,
}

impl<F: FnOnce() -> T, T> Task<F, T> {
    const VTABLE: VTable = VTable { run: Self::run, free: Self::free };

    #[inline(always)]
    fn allocate(f: F, id: u64, at: Origin) -> TcbPtr {
        let mut task = Box::<Task<F, T>>::new_uninit();
        // In place: a block is several cache lines, too many to build here and copy there.
        let place = task.as_mut_ptr();
        // SAFETY: both are fields of fresh memory of that very type, each written once.
        unsafe {
            (&raw mut (*place).tcb).write(Tcb::new(&Self::VTABLE, id, at));
            (&raw mut (*place).contents).write(UnsafeCell::new(Contents::Closure(f)));
        }
        // SAFETY: all fields have been written; a box is not null.
        let task = unsafe { Box::into_raw(task.assume_init()) };
        // SAFETY: a box is not null.
        unsafe { NonNull::new_unchecked(task) }.cast()
    }

    /// Runs the closure: `VTable::run`.
    ///
    /// # Safety
    /// `tcb` was made by `allocate` of the same types, and this is called once.
    unsafe fn run(tcb: TcbPtr) {
        // SAFETY: the block is the first field of a `Task<F, T>` (repr(C)), and the pointer came
        // from the whole box.
        let task = unsafe { tcb.cast::<Task<F, T>>().as_ref() };
        // SAFETY: nothing else touches the contents before `ending` says that the tasklet is over.
        let closure = unsafe { std::mem::replace(&mut *task.contents.get(), Contents::Empty) };
        let Contents::Closure(f) = closure else { unreachable!("a tasklet runs once") };
        assert_off_hub();
        let no_stack = task.tcb.no_stack.get();
        let (result, mut ending) = if task.tcb.killed.get() || no_stack {
            task.tcb.last_drops.set(true);
            let ending = if no_stack { Ending::NoStack } else { Ending::Killed };
            (catch_unwind(AssertUnwindSafe(|| drop(f))).err().map(Err), ending)
        } else {
            (Some(catch_unwind(AssertUnwindSafe(f))), Ending::Returned)
        };
        task.tcb.last_drops.set(true);
        drop_locals(&task.tcb);
        let result = match result {
            Some(Err(payload)) if payload.is::<TaskletExit>() => {
                ending = Ending::Killed;
                None
            }
            Some(Err(payload)) => {
                ending = Ending::Panicked;
                Some(Err(payload))
            }
            result => result,
        };
        if task.tcb.detached.get() {
            mark_scope_panicked(&task.tcb, ending);
            drop_quietly(result);
            drop_locals(&task.tcb);
        } else if let Some(result) = result {
            // SAFETY: as above.
            unsafe { *task.contents.get() = Contents::Result(result) };
        }
        if task.tcb.locals.get() == Locals::Own {
            end_locals(&task.tcb);
        }
        task.tcb.ending.set(ending);
    }

    /// Frees the allocation: `VTable::free`.
    ///
    /// # Safety
    /// There is no other reference, and the types are those of `allocate`.
    unsafe fn free(tcb: TcbPtr) {
        // SAFETY: the pointer came from `Box::into_raw` of this very type.
        let mut task = unsafe { Box::from_raw(tcb.cast::<Task<F, T>>().as_ptr()) };
        // The caller may be the hub.
        debug_assert!(matches!(task.contents.get_mut(), Contents::Empty), "a value is left");
        debug_assert!(!task.tcb.has_users_values(), "a value is left in the block");
        drop(task);
    }

    /// Takes the result for the handle.
    ///
    /// # Safety
    /// The types are those of `allocate`, and the tasklet is over.
    unsafe fn take(tcb: TcbPtr) -> Option<Returned<T>> {
        // SAFETY: the caller's handle keeps the block there. The tasklet is over, so `run` is done
        // with the contents, and a handle belongs to this thread.
        let contents = unsafe { tcb.cast::<Task<F, T>>().as_ref() }.contents.get();
        // Only what is there is moved: a wide load of words that were stored one by one just now
        // would wait for those stores.
        // SAFETY: as above; what has been read out is forgotten in the next step.
        let result = unsafe {
            match &*contents {
                Contents::Result(Ok(value)) => Some(Ok(std::ptr::read(value))),
                Contents::Result(Err(payload)) => Some(Err(std::ptr::read(payload))),
                Contents::Closure(_) => unreachable!("an over tasklet has no closure"),
                Contents::Empty => None,
            }
        };
        // SAFETY: as above.
        unsafe { contents.write(Contents::Empty) };
        result
    }
}

/// Tells the scope that one of its tasklets panicked and will not be joined.
pub(super) fn mark_scope_panicked(tcb: &Tcb, ending: Ending) {
    if ending == Ending::Panicked
        && let Some(scope) = tcb.scope.get()
    {
        // SAFETY: `scope` returns after its last tasklet has ended and its last handle, which
        // borrows it, is gone.
        unsafe { scope.as_ref() }.panicked.set(true);
    }
}

/// A tasklet that has been made and not yet queued.
pub(crate) struct Made<T> {
    pub(crate) tcb: TcbPtr,
    pub(crate) take: unsafe fn(TcbPtr) -> Option<Returned<T>>,
}

/// Makes a tasklet's block; `at` is the call that spawns it.
///
/// # Safety
/// Everything that `F` and `T` borrow outlives the tasklet: its run and its result.
pub(crate) unsafe fn make<F: FnOnce() -> T, T>(intake: &Intake, at: Origin, f: F) -> Made<T> {
    Made { tcb: Task::<F, T>::allocate(f, intake.next_id(), at), take: Task::<F, T>::take }
}

/// The reason why a tasklet could not be spawned.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnError {
    /// The caller is not a tasklet: no scheduler runs on this thread. Wrap the program in
    /// [`overlapped::run`](crate::run).
    NoScheduler,
    /// There are as many tasklets as `Config::tasklets_max` allows.
    Limit,
    /// A scoped tasklet must be waited for, or its group is full, and the caller may not wait: it
    /// is unwinding, or inside `no_switch`.
    CannotWait,
    /// The run has ended, or its shutdown has begun.
    Ended,
    /// The stack size is too large: 1 TiB is the most.
    StackSize,
    /// It cannot have [thread-locals of its own](Builder::own_thread_locals) here, for this reason.
    OwnThreadLocals(&'static str),
    /// Its group is full, and the wait for a member's end failed.
    Wait(WaitError),
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpawnError::NoScheduler => {
                "no scheduler runs on this thread; call this inside overlapped::run"
            }
            SpawnError::Limit => "too many tasklets; raise Config::tasklets_max",
            SpawnError::Ended => "the run has ended, or is about to",
            SpawnError::StackSize => "no stack is larger than 1 TiB",
            SpawnError::CannotWait => {
                "a tasklet must be waited for, and the caller may not wait here"
            }
            SpawnError::OwnThreadLocals(why) => {
                return write!(f, "no thread-locals of a tasklet's own: {why}");
            }
            SpawnError::Wait(error) => return error.fmt(f),
        })
    }
}

impl std::error::Error for SpawnError {}

impl From<SpawnError> for io::Error {
    /// Converts the error, for `Builder::spawn(…)?` in functions that return [`io::Result`]. The
    /// kind is `Unsupported` (`NoScheduler`, `OwnThreadLocals`), `QuotaExceeded` (`Limit`),
    /// `OutOfMemory` (`StackSize`), `WouldBlock` (`CannotWait`), `TimedOut` or `Deadlock` (`Wait`),
    /// or `Other`; [`io::Error::downcast`] gives the `SpawnError` back.
    fn from(error: SpawnError) -> io::Error {
        let kind = match &error {
            SpawnError::NoScheduler | SpawnError::OwnThreadLocals(_) => io::ErrorKind::Unsupported,
            SpawnError::Limit => io::ErrorKind::QuotaExceeded,
            SpawnError::CannotWait | SpawnError::Wait(WaitError::WouldBlock) => {
                io::ErrorKind::WouldBlock
            }
            SpawnError::StackSize => io::ErrorKind::OutOfMemory,
            SpawnError::Wait(WaitError::TimedOut) => io::ErrorKind::TimedOut,
            SpawnError::Wait(WaitError::Deadlock(_)) => io::ErrorKind::Deadlock,
            SpawnError::Wait(WaitError::Empty | WaitError::Cancelled) | SpawnError::Ended => {
                io::ErrorKind::Other
            }
        };
        io::Error::new(kind, error)
    }
}

/// Runs `f` in a new tasklet of the caller's scheduler, which starts when it is its turn.
///
/// This is the counterpart of `std::thread::spawn`. The closure need not be `Send`: a tasklet never
/// changes thread. The tasklet takes a stack when it first runs, so spawning does not fail for lack
/// of one. During a shutdown the new tasklet is killed before it starts, and its closure dropped;
/// so a destructor may spawn. A destructor that does so for ever is stopped when the grace time is
/// over.
///
/// **Errors are lost if nothing asks for them.** As with threads, a closure that returns an `Err`
/// prints nothing: [`join`](Tasklet::join) returns it. So join the tasklet, or spawn it in a
/// [`scope`](crate::scope()) or a [`TaskletGroup`](super::TaskletGroup) whose results are taken; a
/// detached tasklet handles its errors itself. A panic is printed in any case.
///
/// # Panics
/// If [`Builder::spawn`] returns an error.
///
/// ```
/// overlapped::run(|| {
///     let tasklet = overlapped::spawn(|| 6 * 7);
///     assert_eq!(tasklet.join().unwrap(), 42);
/// }).unwrap();
/// ```
#[track_caller]
#[inline]
pub fn spawn<F, T>(f: F) -> Tasklet<T>
where
    F: FnOnce() -> T + 'static,
    T: 'static,
{
    match Builder::new().spawn(f) {
        Ok(tasklet) => tasklet,
        Err(error) => panic!("overlapped::spawn: {error}"),
    }
}

/// The configuration of a tasklet before it is spawned: its name and its stack size, as in
/// `std::thread::Builder`.
///
/// ```
/// overlapped::run(|| {
///     let tasklet = overlapped::Builder::new()
///         .name("parser")
///         .stack_size(1 << 20)
///         .spawn(|| overlapped::current().name())
///         .unwrap();
///     assert_eq!(tasklet.join().unwrap().as_deref(), Some("parser"));
/// }).unwrap();
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until spawn is called"]
pub struct Builder {
    name: Option<Box<str>>,
    stack_size: usize,
    own_thread_locals: bool,
    /// The call on whose behalf it spawns, if not the one that spawns.
    origin: Option<Origin>,
}

impl Builder {
    /// Makes a builder of a tasklet without a name, on a stack of the scheduler's default size.
    pub fn new() -> Builder {
        Builder::default()
    }

    /// Names the tasklet, for dumps, deadlock reports and overflow reports.
    pub fn name(mut self, name: impl Into<String>) -> Builder {
        self.name = Some(name.into().into_boxed_str());
        self
    }

    /// Sets the address space of its stack in bytes, guard included, rounded up to a power of two,
    /// 1 TiB at most. Memory is committed page by page as it is used.
    pub fn stack_size(mut self, bytes: usize) -> Builder {
        self.stack_size = bytes;
        self
    }

    /// Gives the tasklet thread-locals of its own, as a thread has: each `thread_local!`, those of
    /// C and C++, errno, the values of pthread_setspecific, std's panic count, and what
    /// `std::thread::current()` and pthread_self(3) return. Their destructors run at its end,
    /// before a join returns, in the order in which a thread runs them; they may wait.
    ///
    /// With it, code that keeps something in a thread-local across a wait is correct: the hazards
    /// with thread-locals in [the list](crate#hazards) do not apply to such a tasklet. It costs
    /// memory and time (below), so it is for tasklets that run code which needs it: an async
    /// runtime's `block_on`, libraries over `scoped-tls`, a C library with an error state for each
    /// thread.
    ///
    /// | | usual | with thread-locals of its own |
    /// |---|---|---|
    /// | spawn and join | 51 ns | 0.2 µs |
    /// | yield, with one neighbour like it | 10 ns | 27 ns |
    /// | channel round trip, both alike | 35 ns | 100 ns |
    /// | memory while it waits | 4.4 KiB | 4.7 KiB more |
    ///
    /// **Locks by thread** that are held across a wait keep neighbours out now, as they keep
    /// threads out. A neighbour that then asks for one in the plain, blocking way stops the whole
    /// thread, and the holder with it. C's recursive, error-checking and robust mutexes still take
    /// all tasklets of a thread for one owner: they go by the kernel's number of the thread.
    ///
    /// **State that stays the thread's**: that number, the signal mask, the alternate stack,
    /// priorities. The law stays, too, that a tasklet which unwinds never switches, except inside
    /// [`kill_as_error`](super::kill_as_error): there it waits as ever. pthread_kill(3) with what
    /// pthread_self(3) returned reaches the thread; such a "thread" cannot be joined, detached or
    /// cancelled, nor may it call pthread_exit(3). A library that is opened by dlopen(3) while the
    /// tasklet lives, and whose thread-locals have a fixed place ("initial-exec"; on Arm small
    /// ones, too), begins with zeros in it instead of their initial values.
    ///
    /// **If they are not available**, [`spawn`](Builder::spawn) returns
    /// [`SpawnError::OwnThreadLocals`] with the reason. They need Linux, glibc 2.34 or later linked
    /// dynamically, x86-64 with FSGSBASE (Linux 5.9) or 64-bit Arm, and no sanitizer. The first use
    /// in a process tries them out; `overlapped doctor` shows the result.
    ///
    /// ```
    /// use std::cell::RefCell;
    /// use overlapped::{Builder, SpawnError, run, yield_now};
    ///
    /// thread_local! { static WORDS: RefCell<Vec<&'static str>> = RefCell::default(); }
    ///
    /// run(|| {
    ///     let adds = |word| {
    ///         Builder::new().own_thread_locals(true).spawn(move || {
    ///             WORDS.with_borrow_mut(|words| {
    ///                 words.push(word);
    ///                 yield_now(); // In the middle of a borrow.
    ///                 words.len()
    ///             })
    ///         })
    ///     };
    ///     match (adds("one"), adds("two")) {
    ///         (Ok(one), Ok(two)) => {
    ///             assert_eq!((one.join().unwrap(), two.join().unwrap()), (1, 1));
    ///         }
    ///         (Err(SpawnError::OwnThreadLocals(why)), _) => println!("not here: {why}"),
    ///         (one, two) => panic!("{one:?} {two:?}"),
    ///     }
    /// }).unwrap();
    /// ```
    pub fn own_thread_locals(mut self, own: bool) -> Builder {
        self.own_thread_locals = own;
        self
    }

    /// Spawns on behalf of the call at `origin`, which deadlock reports, dumps and panics then
    /// name: for libraries that spawn for their callers in a closure, which `#[track_caller]`
    /// cannot reach.
    pub fn on_behalf_of(mut self, origin: &'static Location<'static>) -> Builder {
        self.origin = Some(origin);
        self
    }

    /// Spawns the tasklet.
    ///
    /// # Errors
    /// [`SpawnError`] says when.
    #[track_caller]
    #[inline]
    pub fn spawn<F, T>(self, f: F) -> Result<Tasklet<T>, SpawnError>
    where
        F: FnOnce() -> T + 'static,
        T: 'static,
    {
        let (here, at) = (admit()?, self.origin.unwrap_or(Location::caller()));
        self.check()?;
        // SAFETY: both types are 'static.
        let made = unsafe { make(here.intake(), at, f) };
        Ok(Tasklet::new(self.place(here, made, None)))
    }

    /// Checks whether there can be such a tasklet.
    #[inline]
    fn check(&self) -> Result<(), SpawnError> {
        if self.stack_size > STACK_MAX {
            return Err(SpawnError::StackSize);
        }
        if self.own_thread_locals {
            locals::available().map_err(SpawnError::OwnThreadLocals)?;
        }
        Ok(())
    }

    /// Puts the builder's settings into a new tasklet and queues it.
    #[inline]
    pub(super) fn place<T>(
        self,
        here: Here,
        made: Made<T>,
        scope: Option<NonNull<ScopeState>>,
    ) -> Made<T> {
        let block = here.block(made.tcb);
        if self.name.is_some() {
            block.extra_or_new(|extra| extra.name = self.name);
            block.is_named.set(true);
        }
        block.stack_size.set(self.stack_size);
        if self.own_thread_locals {
            block.locals.set(Locals::Asked);
        }
        block.scope.set(scope);
        if here.is_late() {
            here.adopt_late(made.tcb);
            return made;
        }
        here.adopt(made.tcb);
        if let Some(scope) = scope {
            // SAFETY: the scope is alive: the caller spawned through its handle.
            let scope = unsafe { scope.as_ref() };
            scope.add(made.tcb, block);
            // The owner waits and has been killed: it has passed the kill on to its tasklets.
            if scope.owner.get().is_some_and(|owner| is_doomed(here, here.block(owner))) {
                block.killed.set(true);
            }
        }
        made
    }
}

/// Returns the caller's scheduler, if it may have one more tasklet.
#[inline]
pub(in crate::task) fn admit() -> Result<Here, SpawnError> {
    let here = here().ok_or(SpawnError::NoScheduler)?;
    if !here.has_room() {
        return Err(SpawnError::Limit);
    }
    Ok(here)
}
