//! Scopes: tasklets that borrow from their parent's frame, as `std::thread::scope`.
//!
//! The scope's wait cannot be left before the last tasklet has ended: they borrow its frame. A kill
//! or a deadlock report that reaches the waiting parent is passed on to the children as a kill. It
//! takes effect after the last child's end. Children inherit the parent's deadline.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::thread;

use super::builder::admit;
use super::task::{Made, make};
use super::{Builder, JoinError, SpawnError, Tasklet};
use crate::sched::{AbortOnUnwind, Here, NEVER, ScopeState, State, Waiting, here, release};
use crate::task::TaskletExit;
use crate::task::suspension::{deliver_kill, is_held_by_panic, park};

/// The place where scoped tasklets are spawned, made by [`scope`].
pub struct Scope<'scope, 'env: 'scope> {
    state: ScopeState,
    /// The scheduler whose tasklet waits at the end; spawning through any other is refused.
    home: Option<Here>,
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
}

/// A scoped tasklet's handle, with the methods of [`Tasklet`].
pub struct ScopedTasklet<'scope, T> {
    tasklet: Tasklet<T>,
    scope: PhantomData<&'scope ()>,
}

/// Runs `f`, which may spawn tasklets that borrow from the caller, and returns when all of them
/// have ended.
///
/// While the caller unwinds, in a destructor, it cannot wait. So each tasklet of a scope then runs
/// where it is spawned, as a part of the caller, before `spawn` returns.
///
/// # Panics
/// If a tasklet of the scope panicked and was not joined, as `std::thread::scope` does.
///
/// ```
/// overlapped::run(|| {
///     let mut counts = [0; 3];
///     overlapped::scope(|s| {
///         for (i, count) in counts.iter_mut().enumerate() {
///             s.spawn(move || *count = i * 10);
///         }
///     });
///     assert_eq!(counts, [0, 10, 20]);
/// }).unwrap();
/// ```
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    scope_or_panic("a scoped tasklet panicked", f)
}

/// Runs a [`scope`] that panics with `text`.
pub(crate) fn scope_or_panic<'env, F, T>(text: &'static str, f: F) -> T
where
    F: for<'scope> FnOnce(&'scope Scope<'scope, 'env>) -> T,
{
    let scope =
        Scope { state: ScopeState::default(), home: here(), scope: PhantomData, env: PhantomData };
    let result = catch_unwind(AssertUnwindSafe(|| f(&scope)));
    // In a child of fork(2) no tasklet is left to wait for.
    if let Some(here) = here().filter(|here| scope.home == Some(*here)) {
        scope.wait(here, result.as_ref().err());
    }
    match result {
        Err(payload) => resume_unwind(payload),
        Ok(_) if scope.state.panicked.get() => panic!("{text}"),
        Ok(value) => {
            if let Some(here) = here().filter(|_| !thread::panicking()) {
                deliver_kill(here);
            }
            value
        }
    }
}

impl<'scope> Scope<'scope, '_> {
    /// Spawns a tasklet that may borrow what outlives the scope.
    ///
    /// # Panics
    /// If [`Builder::spawn_scoped`] returns an error.
    #[track_caller]
    pub fn spawn<F, T>(&'scope self, f: F) -> ScopedTasklet<'scope, T>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        match Builder::new().spawn_scoped(self, f) {
            Ok(tasklet) => tasklet,
            Err(error) => panic!("Scope::spawn: {error}"),
        }
    }

    /// Waits until no tasklet of the scope is left. `payload`: the payload of `f`, if it unwound.
    fn wait(&self, here: Here, payload: Option<&Box<dyn Any + Send>>) {
        let me = here.me();
        // The body was killed, or this tasklet is: the children are not left to finish.
        let exit = payload.is_some_and(|payload| payload.is::<TaskletExit>());
        if exit || (me.killed.get() && me.shields.get() == 0) {
            self.state.each(|child| here.kill(child));
        }
        if self.state.first.get().is_none() {
            return;
        }
        // A caller that could not wait has no children to wait for: `spawn_scoped` refused them, or
        // they have run already. But a tasklet that unwinds may have queued children inside
        // `kill_as_error`, where it could wait, and may have left it since. It waits for these
        // children as it could there.
        let unwinds = thread::panicking();
        let before = me.kill_errors.get();
        me.kill_errors.set(before + u16::from(unwinds));
        let no_way_out = AbortOnUnwind("while scoped tasklets borrow from its frames");
        while self.state.first.get().is_some() {
            let may_switch = !unwinds || !is_held_by_panic(me);
            assert!(may_switch, "no scoped tasklet is queued while unwinding");
            self.state.owner.set(Some(here.me_ptr()));
            park(here, Waiting::Scope(NonNull::from(&self.state)), NEVER);
        }
        std::mem::forget(no_way_out);
        me.kill_errors.set(before);
    }
}

impl Builder {
    /// Spawns a tasklet of `scope`.
    ///
    /// # Errors
    /// As [`Builder::spawn`]; [`SpawnError::NoScheduler`] also where the scope was opened outside;
    /// [`SpawnError::CannotWait`] inside `no_switch`.
    #[track_caller]
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &'scope Scope<'scope, '_>,
        f: F,
    ) -> Result<ScopedTasklet<'scope, T>, SpawnError>
    where
        F: FnOnce() -> T + 'scope,
        T: 'scope,
    {
        let here = admit()?;
        self.check()?;
        if scope.home != Some(here) {
            return Err(SpawnError::NoScheduler);
        }
        if here.me().no_switch.get() > 0 {
            return Err(SpawnError::CannotWait);
        }
        let state = NonNull::from(&scope.state);
        // SAFETY: `scope()` returns only when no tasklet of it is left, that is after the closure
        // has run and dropped its captures; if a tasklet is parked for good, so is its parent. The
        // result is either dropped by the tasklet before that, or taken through the handle, which
        // cannot outlive 'scope; and what a leaked handle leaves in the block is never touched
        // again.
        let made = unsafe { make(here.intake(), self.origin(), f) };
        here.block(made.tcb).deadline.set(here.me().deadline.get());
        let made = if thread::panicking() && is_held_by_panic(here.me()) {
            run_in_place(here, made, state)
        } else {
            self.enqueue(here, made, Some(state))
        };
        Ok(ScopedTasklet { tasklet: Tasklet::new(made), scope: PhantomData })
    }
}

/// Runs a new tasklet on the caller's stack, as a part of the caller, to its end: for a caller that
/// unwinds and so cannot wait for it, in a destructor with a scope.
#[cold]
fn run_in_place<T>(here: Here, made: Made<T>, scope: NonNull<ScopeState>) -> Made<T> {
    let block = here.block(made.tcb);
    block.scope.set(Some(scope));
    // SAFETY: the tasklet was made just now and is in no queue, so this is its one run; the stack
    // is a tasklet's.
    unsafe { (block.vtable.run)(made.tcb) };
    block.state.set(State::Done);
    // SAFETY: this is the scheduler's reference, which it was not given. The handle keeps its own.
    unsafe { release(made.tcb) };
    made
}

impl<T> ScopedTasklet<'_, T> {
    /// Joins the tasklet, as [`Tasklet::join`] does.
    ///
    /// # Errors
    /// As [`Tasklet::join`].
    pub fn join(self) -> Result<T, JoinError> {
        self.tasklet.join()
    }

    /// Returns the handle inside, for this crate only: code that swaps it for another could take it
    /// out of its scope.
    pub(in crate::task) fn tasklet_mut(&mut self) -> &mut Tasklet<T> {
        &mut self.tasklet
    }

    /// Returns the handle inside, for the handle's other methods.
    pub fn handle(&self) -> &Tasklet<T> {
        &self.tasklet
    }
}

impl<T> std::fmt::Debug for ScopedTasklet<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.tasklet.fmt(f)
    }
}

impl std::fmt::Debug for Scope<'_, '_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scope").field("empty", &self.state.first.get().is_none()).finish()
    }
}
