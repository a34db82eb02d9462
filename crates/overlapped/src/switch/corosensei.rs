//! Switches by corosensei, for processors without one by hand.

use std::cell::UnsafeCell;

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Job, Paused};
use crate::stack::Stack;

/// Coroutines come back to whoever resumed them.
pub(crate) const HANDS_OVER: bool = false;

/// Where the hub is suspended while fibers run: corosensei knows.
pub(crate) struct Hub(());

impl Hub {
    /// A hub that no fiber has been resumed by.
    pub(crate) const fn new() -> Hub {
        Hub(())
    }
}

/// Where a fiber is suspended: corosensei knows that, too.
pub(crate) struct Position(());

impl Position {
    /// Of a job that has not started.
    pub(crate) const fn new() -> Position {
        Position(())
    }

    /// Near there; not known here.
    pub(crate) fn hot(&self) -> *const () {
        std::ptr::null()
    }

    /// Of no use here: see [`HANDS_OVER`].
    pub(crate) fn mark(&self) -> Mark {
        Mark(())
    }

    /// Not to be had here: see [`HANDS_OVER`].
    ///
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn hand_over(&self, _: Mark) {
        unreachable!("nobody hands over here");
    }

    /// Not to be had here either.
    ///
    /// # Safety
    /// Never called.
    pub(crate) unsafe fn start(&self, _: Entrance, _: *const Position, _: &Hub, _: Job) {
        unreachable!("nobody hands over here");
    }
}

/// The place that a suspended fiber goes on from: corosensei keeps it.
pub(crate) struct Mark(());

/// The way onto a fiber that is between two jobs; the same.
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
    /// A fiber that calls `entry` for every job it is started with. `entry` must not unwind.
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

    /// First and last address (exclusive) of the stack's guard; the usable part begins there.
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
        // SAFETY: it is not running, so nobody else has a reference to its context.
        match unsafe { &mut *self.context.get() }.resume(job) {
            CoroutineResult::Yield(paused) => paused,
            CoroutineResult::Return(()) => unreachable!("only retire() ends a fiber"),
        }
    }

    /// Goes on with a job; otherwise as [`Fiber::start`].
    ///
    /// # Safety
    /// The caller is the hub that started this fiber's job, which is suspended in its middle.
    #[inline]
    pub(crate) unsafe fn resume(&self, position: &Position, hub: &Hub) -> Paused {
        // SAFETY: it is suspended. Coroutines take an argument each time; in the middle of a job
        // nobody looks at it, it only must not be null, which ends the fiber.
        unsafe { self.start(position, hub, std::ptr::dangling()) }
    }

    /// Of no use here: see [`HANDS_OVER`].
    pub(crate) fn entrance(&self) -> Entrance {
        Entrance(())
    }

    /// Ends a fiber that is between two jobs, and gives its stack back.
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
