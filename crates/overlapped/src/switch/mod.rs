//! Context switches: corosensei behind one small file.
//!
//! A [`Fiber`] is a stack with a context on it. It runs one job after another: resumed with a job
//! it calls `entry` for it, says [`Paused::Finished`] when that returns, and waits for the next. So
//! a recycled stack needs no set-up, and what a job leaves behind is dropped where it ran.
//!
//! ```text
//!   hub (the thread's own stack)              fiber (a stack from the pool)
//!   resume(job)  ───────────────────────────▶ entry(job, &suspender)
//!                ◀─────────── Paused::Waiting  suspender.suspend()
//!   resume(job)  ───────────────────────────▶ … returns from suspend
//!                ◀────────── Paused::Finished  entry returned
//!   retire()     ───────────────────────────▶ leaves its loop; the stack comes back
//! ```
//!
//! A fiber that waits in the middle of a job is never unwound by force and never dropped: whoever
//! owns it resumes it until it finishes, or forgets it with its stack.

use corosensei::{Coroutine, CoroutineResult, Yielder};

use crate::stack::Stack;

/// What a fiber runs; opaque here, never null.
pub(crate) type Job = *const ();

/// Why a resumed fiber came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Paused {
    /// It suspended itself in the middle of a job.
    Waiting,
    /// Its job's `entry` returned.
    Finished,
}

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
