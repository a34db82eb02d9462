//! `spawn`, and the configuration of a tasklet before it.

use std::panic::Location;
use std::ptr::NonNull;

use super::task::{Made, make};
use super::{SpawnError, Tasklet};
use crate::locals;
use crate::sched::{Here, Locals, Origin, ScopeState, here};
use crate::stack::STACK_MAX;
use crate::task::suspension::is_doomed;

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
/// [`scope`](crate::scope()) or a [`TaskletGroup`](crate::task::TaskletGroup) whose results are
/// taken; a detached tasklet handles its errors itself. A panic is printed in any case.
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
    /// all tasklets of a thread for one owner: they identify an owner by the kernel's number of the
    /// thread.
    ///
    /// **State that stays the thread's**: that number, the signal mask, the alternate stack,
    /// priorities. The law stays, too, that a tasklet which unwinds never switches, except inside
    /// [`kill_as_error`](crate::task::kill_as_error): there it waits as ever. pthread_kill(3) with
    /// what pthread_self(3) returned reaches the thread; such a "thread" cannot be joined, detached
    /// or cancelled, nor may it call pthread_exit(3). A library that is opened by dlopen(3) while
    /// the tasklet lives, and whose thread-locals have a fixed place ("initial-exec"; on Arm small
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
        let (here, at) = (admit()?, self.origin());
        self.check()?;
        // SAFETY: both types are 'static.
        let made = unsafe { make(here.intake(), at, f) };
        Ok(Tasklet::new(self.enqueue(here, made, None)))
    }

    /// Returns the call on whose behalf it spawns.
    #[track_caller]
    #[inline]
    pub(super) fn origin(&self) -> Origin {
        self.origin.unwrap_or(Location::caller())
    }

    /// Checks whether there can be such a tasklet.
    #[inline]
    pub(super) fn check(&self) -> Result<(), SpawnError> {
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
    pub(super) fn enqueue<T>(
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
