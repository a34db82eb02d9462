//! The run loop: one ready tasklet after another, and a look outside in between.

use std::ptr::NonNull;

use super::idle::Look;
use super::{CURRENT, Ending, Sched, Span, State, Tcb, TcbPtr, release};
use crate::port::clock;
use crate::stack::TakeError;
use crate::switch::{Fiber, Job, Paused, Suspender, prefetch};

/// The most switches between two looks outside.
const SWITCHES_MAX: u32 = 64;
/// The most time between two looks outside, as far as tasklets give way, in nanoseconds.
const LOOK_EVERY_NS: u64 = 1_000_000;
/// Switches between two glances at the coarse clock.
const GLANCE_EVERY: u32 = 8;
/// How many fibers stay ready for reuse; the stacks of the rest go back to the pool.
const IDLE_MAX: usize = 256;

impl Sched {
    /// The loop. It returns when nobody lives in the whole group; survivors of the grace time do
    /// not count, they are parked for good.
    pub(super) fn run_loop(&self, main: Option<TcbPtr>, until_main: bool) {
        let mut budget = Budget::new(self.now.get());
        loop {
            if let Some(tcb) = self.ready.pop_front() {
                self.prefetch_next();
                self.switch_to(tcb);
                if self.watched.get() {
                    self.after_switch(tcb);
                }
                if !budget.spend() {
                    self.look();
                    budget.renew(self.now.get());
                }
            } else {
                match self.look_or_sleep() {
                    Look::Again => {}
                    Look::Hopeless => self.deadlock(),
                    Look::Over => return,
                }
            }
            if self.ending.get() {
                if self.grace_until.get() <= self.now.get() {
                    self.abandon_all(main);
                }
            } else if let Some(main) = main {
                // The handle's reference is the caller's, so main's block is there to the end.
                if self.block(main).is_over() && (until_main || self.has_panicked(main)) {
                    self.end_all();
                }
            }
        }
    }

    fn has_panicked(&self, main: TcbPtr) -> bool {
        self.block(main).ending.get() == Ending::Panicked
    }

    /// What is asked for at times only: traces, and who ran.
    #[cold]
    fn after_switch(&self, ran: TcbPtr) {
        if self.tracing.get() {
            self.trace_everybody();
        }
        if self.telling_all.get() && !self.buried.replace(false) {
            self.note_candidate(ran);
        }
        self.watched.set(self.telling_all.get());
    }

    /// Runs one tasklet until it parks, yields or ends.
    #[inline]
    fn switch_to(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        // SAFETY: only the hub, which this is, reaches a fiber, and none is running.
        let fiber = unsafe { &mut *block.fiber.get() };
        let fiber = match fiber {
            Some(fiber) => fiber,
            None => match self.take_fiber(block) {
                Some(fresh) => {
                    let (start, end) = fresh.guard();
                    block.guard.set(Span { start, end });
                    fiber.insert(fresh)
                }
                None => return self.starve(tcb),
            },
        };
        block.state.set(State::Running);
        self.running.set(Some(tcb));
        self.pulse.beat();
        CURRENT.with(|current| current.set(Some(NonNull::from(self))));
        let paused = fiber.resume(tcb.as_ptr().cast_const().cast());
        CURRENT.with(|current| current.set(None));
        self.pulse.beat();
        self.running.set(None);
        if paused == Paused::Finished {
            self.bury(tcb);
        }
    }

    /// Asks for the memory of the tasklet that comes next, and for the block of the one after it,
    /// which the next call reads. Together with inlining the switch, a yield among 1,000 tasklets
    /// went from 15 to 12 ns, among 100,000 from 141 to 52.
    #[inline(always)]
    fn prefetch_next(&self) {
        if let Some(next) = self.ready.front() {
            let block = self.block(next);
            prefetch(block.hot.get());
            prefetch(block.hot.get().wrapping_byte_add(64));
            prefetch(block.suspender.get().cast());
            if let Some(second) = self.ready.after(next) {
                prefetch(second.as_ptr().cast_const().cast());
            }
        }
    }

    /// Lets everybody who waits for a stack try again, once after each stack that came back: the
    /// one that was tried first may have asked for a size that is not to be had.
    #[cold]
    pub(super) fn try_starved(&self) -> bool {
        if self.starved.len() == 0 || self.tried_starved.replace(true) {
            return false;
        }
        while let Some(starved) = self.starved.pop_front() {
            self.block(starved).is_starved.set(false);
            self.ready.push_back(starved);
        }
        true
    }

    /// Waits for a stack with others, or says why there will never be one.
    #[cold]
    fn starve(&self, tcb: TcbPtr) {
        let others_hold_stacks = self.pool.borrow().in_use() > 0;
        assert!(others_hold_stacks, "the first stack was made before the loop began");
        self.block(tcb).is_starved.set(true);
        self.starved.push_back(tcb);
    }

    /// A fiber for a tasklet that starts; `None`: it must wait until a stack is free.
    fn take_fiber(&self, block: &Tcb) -> Option<Fiber> {
        if block.stack_size.get() == 0
            && let Some(fiber) = self.idle.borrow_mut().pop()
        {
            return Some(fiber);
        }
        self.make_fiber(block)
    }

    #[cold]
    fn make_fiber(&self, block: &Tcb) -> Option<Fiber> {
        let mut pool = self.pool.borrow_mut();
        let size = block.stack_size.get();
        let mut taken = pool.take((size != 0).then_some(size));
        if taken.is_err() {
            // Idle fibers hold stacks that this one might do without.
            for fiber in self.idle.borrow_mut().drain(..) {
                pool.give(fiber.retire());
            }
            taken = pool.take((size != 0).then_some(size));
        }
        match taken {
            Ok(stack) => Some(Fiber::new(stack, body)),
            Err(TakeError::Limit) => None,
            Err(TakeError::Os(_)) => {
                // Waiting will not help. It gets a stack of the default size, to drop its closure.
                block.no_stack.set(true);
                block.stack_size.set(0);
                pool.take(None).ok().map(|stack| Fiber::new(stack, body))
            }
        }
    }

    /// Takes a tasklet that has ended out of everything, and gives its stack to the next.
    fn bury(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        // SAFETY: the hub again; the fiber came back from its job.
        let fiber = unsafe { (*block.fiber.get()).take() };
        let fiber = fiber.expect("a tasklet that ran has a fiber");
        let mut idle = self.idle.borrow_mut();
        if block.stack_size.get() == 0 && idle.len() < IDLE_MAX {
            idle.push(fiber);
        } else {
            self.pool.borrow_mut().give(fiber.retire());
        }
        drop(idle);
        self.tried_starved.set(false);
        self.buried.set(true);
        if let Some(starved) = self.starved.pop_front() {
            self.block(starved).is_starved.set(false);
            self.ready.push_front(starved);
        }
        self.forget(tcb);
    }

    /// Gives up the scheduler's reference to a tasklet that has ended.
    fn forget(&self, tcb: TcbPtr) {
        self.unlist(tcb);
        // SAFETY: the scheduler's reference, and no queue or list names the block any more.
        unsafe { release(tcb) };
    }

    /// Takes a tasklet out of the list of the living.
    pub(super) fn unlist(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        let (prev, next) = (block.all_prev.take(), block.all_next.take());
        match prev {
            Some(prev) => self.block(prev).all_next.set(next),
            None => self.all.set(next),
        }
        if let Some(next) = next {
            self.block(next).all_prev.set(prev);
        }
        self.live.set(self.live.get() - 1);
    }
}

/// Runs one tasklet from its first instruction to its last, on its own stack.
fn body(job: Job, suspender: &Suspender) {
    let tcb: TcbPtr = NonNull::new(job.cast_mut().cast()).expect("a job is never null");
    let here = super::here().expect("a fiber runs in a scheduler");
    let block = here.block(tcb);
    block.suspender.set(suspender);
    here.tell_switched();
    // SAFETY: the scheduler runs each tasklet once, on its own stack.
    unsafe { (block.vtable.run)(tcb) };
    block.state.set(State::Done);
    here.timers.borrow_mut().disarm(tcb);
    here.say_over(block);
}

/// When to look outside: after 64 switches, or sooner where so many take longer than 1 ms.
struct Budget {
    left: u32,
    size: u32,
    since: u64,
}

impl Budget {
    fn new(now: u64) -> Budget {
        Budget { left: SWITCHES_MAX, size: SWITCHES_MAX, since: now }
    }

    /// Counts a switch; false when it is time to look.
    #[inline]
    fn spend(&mut self) -> bool {
        self.left -= 1;
        self.left > 0 && (!self.left.is_multiple_of(GLANCE_EVERY) || !self.is_overdue())
    }

    /// A glance at the coarse clock: quick switches may be followed by slow ones.
    fn is_overdue(&self) -> bool {
        clock::coarse_nanos() > self.since + LOOK_EVERY_NS
    }

    /// Begins anew, with as many switches as the last ones suggest for the time.
    fn renew(&mut self, now: u64) {
        let took = now.saturating_sub(self.since).max(1);
        let fitting = u64::from(self.size).saturating_mul(LOOK_EVERY_NS) / took;
        self.size = fitting.clamp(1, u64::from(SWITCHES_MAX)) as u32;
        self.left = self.size;
        self.since = now;
    }
}
