//! Stacks for those who start, and back from those who have ended.

use super::super::{Sched, Span, Tcb, TcbPtr};
use super::body;
use crate::stack::{Stack, TakeError};
use crate::switch::Fiber;

/// How many fibers stay ready for reuse; the stacks of the rest go back to the pool.
const IDLE_MAX: usize = 256;

impl Sched {
    /// Gives a tasklet that starts its fiber, if there is one.
    #[inline]
    pub(super) fn equip<'a>(&self, block: &'a Tcb) -> Option<&'a Fiber> {
        let fiber = self.take_fiber(block)?;
        let (start, end) = fiber.guard();
        block.guard.set(Span { start, end });
        // SAFETY: nobody has a reference to a fiber that is not there yet.
        unsafe { block.fiber.get().write(Some(fiber)) };
        block.fiber()
    }

    /// As [`Sched::equip`], where there is a fiber for the taking.
    #[inline(never)]
    pub(super) fn equip_at_once<'a>(&self, block: &'a Tcb) -> Option<&'a Fiber> {
        if block.stack_size.get() != 0 || self.idle.borrow().is_empty() {
            return None;
        }
        self.equip(block)
    }

    /// Lets everybody who waits for a stack try again, once after each stack that came back: the
    /// one that was tried first may have asked for a size that is not to be had.
    #[cold]
    pub(in crate::sched) fn try_starved(&self) -> bool {
        if self.starved.len() == 0 || self.tried_starved.replace(true) {
            return false;
        }
        while let Some(starved) = self.starved.pop_front() {
            self.block(starved).is_starved.set(false);
            self.ready.push_back(starved);
        }
        true
    }

    /// As [`Sched::try_starved`], though no stack has come back: some have been left behind.
    #[cold]
    pub(in crate::sched) fn try_starved_again(&self) {
        self.tried_starved.set(false);
        self.try_starved();
    }

    /// Waits for a stack with others, or says why there will never be one.
    #[cold]
    pub(super) fn starve(&self, tcb: TcbPtr) {
        let others_hold_stacks = self.pool.borrow().in_use() > 0;
        let may_be_alone = self.late.get();
        assert!(
            others_hold_stacks || may_be_alone,
            "the first stack was made before the loop began"
        );
        let block = self.block(tcb);
        block.is_starved.set(true);
        // One stack beyond the limit is lent to the killed. When it comes back, a killed one must
        // be the next to try.
        match block.killed.get() {
            true => self.starved.push_front(tcb),
            false => self.starved.push_back(tcb),
        }
    }

    /// One that waits for a stack has been killed, so there may be one for it.
    #[cold]
    pub(in crate::sched) fn try_killed(&self, tcb: TcbPtr) {
        self.starved.remove(tcb);
        self.block(tcb).is_starved.set(false);
        self.ready.push_back(tcb);
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
            Ok(stack) => Some(self.fiber(stack)),
            Err(TakeError::Limit) if block.killed.get() => {
                // Those who hold the others may wait for its end. It has a size of its own now, so
                // that its stack goes back to the pool and not to the next tasklet.
                let stack = pool.take_beyond().ok()?;
                block.stack_size.set(stack.size());
                Some(self.fiber(stack))
            }
            Err(TakeError::Limit) => None,
            Err(TakeError::Os(_)) => {
                // Waiting will not help. It gets a stack of the default size, to drop its closure.
                block.no_stack.set(true);
                block.stack_size.set(0);
                pool.take(None).ok().map(|stack| self.fiber(stack))
            }
        }
    }

    #[cfg(not(miri))]
    fn fiber(&self, stack: Stack) -> Fiber {
        Fiber::new(stack, body)
    }

    /// There a fiber has thread-locals of its own.
    #[cfg(miri)]
    fn fiber(&self, stack: Stack) -> Fiber {
        let sched = std::ptr::NonNull::from(self);
        Fiber::new(stack, body, move || super::CURRENT.with(|current| current.set(Some(sched))))
    }

    /// Takes a tasklet that has ended out of everything, and gives its stack to the next.
    pub(super) fn bury(&self, tcb: TcbPtr) {
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
}
