//! Switches by corosensei, for processors without one by hand.

use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::{Job, Paused};
use crate::stack::Stack;

/// A job's way back to whoever resumed its fiber.
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
    context: Coroutine<Job, Paused, (), Stack>,
    guard: (usize, usize),
}

impl Fiber {
    /// A fiber that calls `entry` for every job it is resumed with. `entry` must not unwind.
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
        Fiber { context, guard }
    }

    /// First and last address (exclusive) of the stack's guard; the usable part begins there.
    pub(crate) fn guard(&self) -> (usize, usize) {
        self.guard
    }

    /// Runs the fiber until it waits or finishes its job. A fiber that waits in the middle of a job
    /// goes on with it; `job` is for one that is between two.
    #[inline]
    pub(crate) fn resume(&mut self, job: Job) -> Paused {
        debug_assert!(!job.is_null());
        match self.context.resume(job) {
            CoroutineResult::Yield(paused) => paused,
            CoroutineResult::Return(()) => unreachable!("only retire() ends a fiber"),
        }
    }

    /// Ends a fiber that is between two jobs, and gives its stack back.
    pub(crate) fn retire(mut self) -> Stack {
        if self.context.started() {
            match self.context.resume(std::ptr::null()) {
                CoroutineResult::Return(()) => {}
                CoroutineResult::Yield(_) => unreachable!("retired in the middle of a job"),
            }
            return self.context.into_stack();
        }
        unreachable!("a fiber is made for a job and has run it")
    }
}
