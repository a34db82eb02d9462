//! Switches by corosensei, for processors without an implementation of our own.

use std::cell::UnsafeCell;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Job, Paused};
use crate::stack::Stack;

/// Coroutines return to the caller that resumed them.
pub(crate) const HANDS_OVER: bool = false;

/// The point where the hub is suspended while fibers run: corosensei keeps it.
pub(crate) struct Hub(());

impl Hub {
    /// Makes a hub that has resumed no fiber yet.
    pub(crate) const fn new() -> Hub {
        Hub(())
    }
}

/// The point where a fiber is suspended: corosensei keeps that, too.
pub(crate) struct Position(());

impl Position {
    /// Makes the position of a job that has not started.
    pub(crate) const fn new() -> Position {
        Position(())
    }

    /// Returns null: the address is not known here.
    pub(crate) fn hot(&self) -> *const () {
        std::ptr::null()
    }

    /// Never called: see [`HANDS_OVER`].
    pub(crate) fn mark(&self) -> Mark {
        Mark(())
    }

    /// Never called: see [`HANDS_OVER`].
    ///
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn hand_over(&self, _: Mark) {
        unreachable!("this implementation does not hand over");
    }

    /// Never called: see [`HANDS_OVER`].
    ///
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn start(&self, _: Entrance, _: *const Position, _: &Hub, _: Job) {
        unreachable!("this implementation does not hand over");
    }
}

/// The point from which a suspended fiber goes on: corosensei keeps it.
pub(crate) struct Mark(());

/// The way onto a fiber that is between two jobs: corosensei keeps it.
pub(crate) struct Entrance(());

/// A job's way back to the hub.
#[repr(transparent)]
pub(crate) struct Suspender(Yielder<Job, Paused>);

impl Suspender {
    /// Leaves the fiber; returns when it is resumed.
    #[inline]
    pub(crate) fn suspend(&self) {
        self.0.suspend(Paused::Waiting);
    }
}

/// A stack with a context on it.
pub(crate) struct Fiber {
    context: UnsafeCell<Coroutine<Job, Paused, (), Stack>>,
    guard: (usize, usize),
}

impl Fiber {
    /// Makes a fiber that calls `entry` for every job. `entry` must not unwind.
    pub(crate) fn new(stack: Stack, entry: fn(Job, &Suspender)) -> Fiber {
        let guard = stack.guard();
        let guard = (guard.start, guard.end);
        let context = Coroutine::with_stack(stack, move |yielder: &Yielder<_, _>, first: Job| {
            // SAFETY: `Suspender` is a transparent wrapper around `Yielder<Job, Paused>`.
            let suspender = unsafe { &*(&raw const *yielder).cast::<Suspender>() };
            let mut job = first;
            while !job.is_null() {
                entry(job, suspender);
                job = yielder.suspend(Paused::Finished);
            }
        });
        Fiber { context: UnsafeCell::new(context), guard }
    }

    /// Returns the first and the last address (exclusive) of the stack's guard; the usable part
    /// begins at the last.
    pub(crate) fn guard(&self) -> (usize, usize) {
        self.guard
    }

    /// Runs a new job until it waits or has ended.
    ///
    /// # Safety
    /// The caller is the hub, on its thread; this fiber is between two jobs.
    #[inline]
    pub(crate) unsafe fn start(&self, _position: &Position, _hub: &Hub, job: Job) -> Paused {
        debug_assert!(!job.is_null());
        // SAFETY: the fiber is not running, so no other reference to its context exists.
        match unsafe { &mut *self.context.get() }.resume(job) {
            CoroutineResult::Yield(paused) => paused,
            CoroutineResult::Return(()) => unreachable!("only retire() ends a fiber"),
        }
    }

    /// Resumes a job, otherwise like [`Fiber::start`].
    ///
    /// # Safety
    /// The caller is the hub that started this fiber's job, which is suspended in its middle.
    #[inline]
    pub(crate) unsafe fn resume(&self, position: &Position, hub: &Hub) -> Paused {
        // SAFETY: the fiber is suspended. Coroutines take an argument each time; in the middle of a
        // job it is not read, it only must not be null, which ends the fiber.
        unsafe { self.start(position, hub, std::ptr::dangling()) }
    }

    /// Never called: see [`HANDS_OVER`].
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(())
    }

    /// Ends a fiber that is between two jobs, and returns its stack.
    pub(crate) fn retire(self) -> Stack {
        let mut context = self.context.into_inner();
        if context.started() {
            match context.resume(std::ptr::null()) {
                CoroutineResult::Return(()) => {}
                CoroutineResult::Yield(_) => unreachable!("retired in the middle of a job"),
            }
            return context.into_stack();
        }
        unreachable!("a fiber is made for a job and has run it")
    }
}
