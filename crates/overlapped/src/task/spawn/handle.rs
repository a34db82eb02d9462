//! Handles for the tasklet's thread: `Tasklet<T>`, which its spawner gets, and `Current`, which it
//! gets of itself.
//!
//! Other threads have a type of their own, `Remote`, for two reasons. Everything in a control block
//! is plain cells of one thread, so a `Tasklet` costs no atomic instruction. And the scheduler must
//! know whether another thread could still wake a tasklet, or its deadlock reports would be
//! guesses: the existence of a `Remote` is that information.

use std::fmt;
use std::marker::PhantomData;

use super::remote::remote_of;
use super::task::{Made, Returned, mark_scope_panicked};
use super::{JoinError, PauseError, Remote, TaskletId};
use crate::sched::{
    Ending, Here, State, Tcb, TcbPtr, Waiting, Wake, drop_quietly, here, node_of, release, retain,
};
use crate::task::suspension::{
    checkpoint, checkpoint_without_error, deliver_kill, park, suspend, take_deadlock_report,
};
use crate::task::{PanicPayload, pause};

/// The owned permission to join a tasklet, and the handle to control it: the counterpart of
/// `std::thread::JoinHandle`. Dropping it detaches the tasklet: its result is dropped when it ends,
/// and so is an error. [`spawn`](crate::spawn()) says more.
///
/// It stays on its thread; [`Tasklet::remote`] gives a handle for others.
pub struct Tasklet<T> {
    tcb: TcbPtr,
    take: unsafe fn(TcbPtr) -> Option<Returned<T>>,
    result: PhantomData<T>,
}

impl<T> Tasklet<T> {
    #[inline]
    pub(in crate::task) fn new(made: Made<T>) -> Tasklet<T> {
        Tasklet { tcb: made.tcb, take: made.take, result: PhantomData }
    }

    /// Sets a function that is called if the tasklet is abandoned, on the scheduler's own stack: it
    /// neither runs nor drops anything of the user's.
    pub(crate) fn on_abandon(&self, tell: impl FnOnce() + 'static) {
        if self.block().ending.get() == Ending::Abandoned {
            return tell(); // Spawned after the grace time.
        }
        let tell: Box<dyn FnOnce()> = Box::new(tell);
        self.block().extra_or_new(|extra| extra.on_abandon = Some(tell));
    }

    /// Returns the tasklet's block, as a pointer.
    pub(in crate::task) fn tcb(&self) -> TcbPtr {
        self.tcb
    }

    #[inline]
    pub(in crate::task) fn block(&self) -> &Tcb {
        // SAFETY: the handle's reference keeps the block there, and a handle is on its thread.
        unsafe { self.tcb.as_ref() }
    }

    /// Waits until the tasklet has ended, and returns its result.
    ///
    /// # Errors
    /// [`JoinError`] says how the tasklet ended without a result, or why the wait ended early.
    #[inline(always)]
    pub fn join(self) -> Result<T, JoinError> {
        self.wait_end()?;
        self.take_result()
    }

    /// Waits until the tasklet has ended.
    #[inline(always)]
    pub(in crate::task) fn wait_end(&self) -> Result<(), JoinError> {
        if self.is_finished() { Ok(()) } else { self.wait() }
    }

    #[inline(always)]
    fn wait(&self) -> Result<(), JoinError> {
        // The tasklet has not ended. So its scheduler runs, and the caller is another of that
        // scheduler's tasklets.
        let here = here().ok_or(JoinError::WouldBlock)?;
        here.assert_ours(self.block());
        checkpoint(here).map_err(JoinError::from_cannot_wait)?;
        self.block().joiner.set(Some(node_of(here.me_ptr())));
        match park(here, Waiting::Join(self.tcb), here.me().deadline.get()) {
            Wake::Done | Wake::Closed => Ok(()),
            Wake::TimedOut => Err(JoinError::TimedOut),
            Wake::Deadlock => Err(JoinError::Deadlock(take_deadlock_report(here))),
            Wake::Killed => {
                deliver_kill(here);
                Err(JoinError::Cancelled)
            }
        }
    }

    pub(in crate::task) fn take_result(&self) -> Result<T, JoinError> {
        match self.block().ending.get() {
            Ending::Abandoned => return Err(JoinError::Abandoned),
            Ending::Killed => return Err(JoinError::Killed),
            Ending::NoStack => return Err(JoinError::NoStack),
            Ending::Alive => unreachable!("the wait has ended"),
            Ending::Returned | Ending::Panicked => {}
        }
        // SAFETY: `take` is of the tasklet's own types (both came from `make`), and it has ended.
        match unsafe { (self.take)(self.tcb) } {
            Some(result) => {
                result.map_err(|payload| JoinError::Panicked(PanicPayload::new(payload)))
            }
            None => Err(JoinError::Taken),
        }
    }

    /// Tells whether it has ended. Never waits.
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.block().is_over()
    }

    /// Asks the tasklet to end: it unwinds, with [`TaskletExit`](crate::task::TaskletExit), at the
    /// suspension point where it is or at the next one. If it has not started, its closure is
    /// dropped. If it has ended, nothing happens.
    ///
    /// This is only a request. An operation that completes nevertheless returns its result first,
    /// so no byte is lost, and [`shield`](crate::task::shield) holds a kill off.
    ///
    /// # What does not survive it
    /// A kill unwinds, as a panic does, and code that cannot be unwound ends the process, with a
    /// message that names the tasklet:
    /// - functions of C whose callback waited. In a callback, wait for nothing
    ///   ([`no_switch`](crate::task::no_switch)), or give the whole call to
    ///   [`unblock`](crate::task::unblock).
    /// - destructors that panic.
    /// - destructors that lock what a neighbour has locked: a tasklet that unwinds cannot wait. Use
    ///   `try_lock` there, or drop guards before what may be killed.
    ///
    /// A [`scope`](crate::scope) in a destructor runs its tasklets one after another, in place. A
    /// kill can unwind only if the program is built with `panic = "unwind"`.
    pub fn kill(&self) {
        if self.is_finished() {
            return;
        }
        if let Some(here) = here() {
            here.kill(self.tcb);
        }
    }

    /// Returns the name given to [`Builder::name`](super::Builder::name).
    pub fn name(&self) -> Option<String> {
        self.block().name()
    }

    /// Its number.
    pub fn id(&self) -> TaskletId {
        TaskletId(self.block().id)
    }

    /// Takes the tasklet out of the ready queue until [`resume`](Tasklet::resume). A kill ends the
    /// pause, also in a [`shield`](crate::task::shield): the tasklet goes on, and ends where the
    /// shield does.
    ///
    /// # Errors
    /// [`PauseError::Blocked`] while it waits for something, [`PauseError::Finished`] after its
    /// end.
    pub fn pause(&self) -> Result<(), PauseError> {
        let block = self.block();
        let here = self.living()?;
        match (block.state.get(), block.waiting.get()) {
            (State::Waiting, Waiting::Paused | Waiting::PausedByOther) => Ok(()),
            (State::Running, _) => {
                pause();
                Ok(())
            }
            // A kill is on its way to it, and must arrive.
            (State::Ready | State::New, _) if block.killed.get() || here.is_ending() => Ok(()),
            (State::Ready | State::New, _) if !block.waits_for_stack.get() => {
                here.pause_ready(block, self.tcb);
                Ok(())
            }
            _ => Err(PauseError::Blocked),
        }
    }

    /// Puts a paused tasklet at the end of the ready queue. A ready tasklet stays where it is.
    ///
    /// # Errors
    /// [`PauseError::Blocked`] while it waits for something, [`PauseError::Finished`] after its
    /// end.
    pub fn resume(&self) -> Result<(), PauseError> {
        let block = self.block();
        let here = self.living()?;
        match (block.state.get(), block.waiting.get()) {
            (State::Waiting, Waiting::Paused | Waiting::PausedByOther) => {
                here.wake(self.tcb, Wake::Done)
            }
            (State::Waiting, _) => return Err(PauseError::Blocked),
            _ => {}
        }
        Ok(())
    }

    /// Switches to the tasklet now. The ready queue, with the caller at its end, is turned like a
    /// ring until the tasklet is in front: so the caller comes after those that were behind the
    /// tasklet, and before those that were in front of it.
    ///
    /// # Errors
    /// [`PauseError::Blocked`] while it waits for something, [`PauseError::Finished`] after its
    /// end.
    pub fn run_now(&self) -> Result<(), PauseError> {
        let block = self.block();
        let here = self.living()?;
        if checkpoint_without_error(here).is_err() {
            return Err(PauseError::Blocked);
        }
        match (block.state.get(), block.waiting.get()) {
            (State::Running, _) => return Ok(()),
            (State::Waiting, Waiting::Paused | Waiting::PausedByOther) => {
                here.wake(self.tcb, Wake::Done);
            }
            (State::Ready | State::New, _) if block.waits_for_stack.get() => {
                return Err(PauseError::Blocked);
            }
            (State::Ready | State::New, _) => {}
            _ => return Err(PauseError::Blocked),
        }
        here.rotate_ready(self.tcb, here.me_ptr());
        here.me().state.set(State::Ready);
        suspend(here, here.me());
        deliver_kill(here);
        Ok(())
    }

    /// Returns a handle for other threads. While one exists, the scheduler assumes that its tasklet
    /// could still be woken, so it makes no deadlock report.
    ///
    /// ```
    /// overlapped::run(|| {
    ///     let tasklet = overlapped::spawn(|| overlapped::time::sleep(std::time::Duration::MAX));
    ///     let remote = tasklet.remote();
    ///     std::thread::spawn(move || remote.kill());
    ///     assert!(matches!(tasklet.join(), Err(overlapped::JoinError::Killed)));
    /// }).unwrap();
    /// ```
    pub fn remote(&self) -> Remote {
        remote_of(self.tcb, self.block())
    }

    fn living(&self) -> Result<Here, PauseError> {
        if self.is_finished() {
            return Err(PauseError::Finished);
        }
        let here = here().ok_or(PauseError::Blocked)?;
        here.assert_ours(self.block());
        Ok(here)
    }
}

impl<T> Drop for Tasklet<T> {
    #[inline]
    fn drop(&mut self) {
        let block = self.block();
        block.detached.set(true);
        if matches!(block.ending.get(), Ending::Returned | Ending::Panicked) {
            // SAFETY: `take` is of the tasklet's own types, as in `take_result`, and it has ended.
            if let Some(result) = unsafe { (self.take)(self.tcb) } {
                mark_scope_panicked(block, block.ending.get());
                drop_quietly(result);
            }
        }
        // SAFETY: this is the handle's own reference, given back once.
        unsafe { release(self.tcb) };
    }
}

impl<T> fmt::Debug for Tasklet<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tasklet")
            .field("id", &self.block().id)
            .field("name", &self.name())
            .field("finished", &self.is_finished())
            .finish()
    }
}

/// A handle to a tasklet, for itself and the other tasklets of its thread; the counterpart of
/// `std::thread::Thread`.
pub struct Current {
    tcb: TcbPtr,
}

impl Current {
    pub(in crate::task) fn new(here: Here) -> Current {
        let tcb = here.me_ptr();
        retain(tcb);
        Current { tcb }
    }

    fn block(&self) -> &Tcb {
        // SAFETY: the reference taken in `new` keeps the block there, and this is on its thread.
        unsafe { self.tcb.as_ref() }
    }

    /// Its number.
    pub fn id(&self) -> TaskletId {
        TaskletId(self.block().id)
    }

    /// Returns the name given to [`Builder::name`](super::Builder::name).
    pub fn name(&self) -> Option<String> {
        self.block().name()
    }

    /// Returns a handle for other threads.
    pub fn remote(&self) -> Remote {
        remote_of(self.tcb, self.block())
    }
}

impl Drop for Current {
    fn drop(&mut self) {
        // SAFETY: this is the reference taken in `new`, given back once.
        unsafe { release(self.tcb) };
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current").field("id", &self.id()).field("name", &self.name()).finish()
    }
}

/// Returns the calling tasklet.
///
/// # Panics
/// Outside a scheduler; check with [`in_tasklet`](crate::task::in_tasklet).
pub fn current() -> Current {
    match here() {
        Some(here) => Current::new(here),
        None => {
            panic!("overlapped::current: not called by a tasklet; call this inside overlapped::run")
        }
    }
}
