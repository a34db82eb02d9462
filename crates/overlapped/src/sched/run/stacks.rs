//! Stacks: assigned to tasklets that start, and taken back from those that have ended.

#[cfg(miri)]
use super::super::here::set_current;
use super::super::{Sched, Span, Tcb, TcbPtr};
use super::body;
use crate::stack::{Stack, TakeError};
use crate::switch::Fiber;

/// The maximum number of fibers that are kept for reuse; the stacks of other fibers go back to the
/// pool.
const IDLE_MAX: usize = 256;

impl Sched {
    /// Assigns a fiber to a tasklet that starts, if there is one.
    #[inline]
    pub(super) fn assign_stack<'a>(&self, block: &'a Tcb) -> Option<&'a Fiber> {
        let fiber = self.take_fiber(block)?;
        let (start, end) = fiber.guard();
        block.guard.set(Span { start, end });
        // SAFETY: a fiber that is not there yet has no references.
        unsafe { block.fiber.get().write(Some(fiber)) };
        block.fiber()
    }

    /// Assigns a fiber from the idle ones, if there is one.
    #[inline(never)]
    pub(super) fn assign_idle_stack<'a>(&self, block: &'a Tcb) -> Option<&'a Fiber> {
        if block.stack_size.get() != 0 || self.idle.borrow().is_empty() {
            return None;
        }
        self.assign_stack(block)
    }

    /// Lets all tasklets that wait for a stack try again, once after each stack that came back,
    /// because the one that tried first may need a size that cannot be made.
    #[cold]
    pub(in crate::sched) fn retry_stack_waiters(&self) -> bool {
        if self.waiting_for_stack.len() == 0 || self.retried_stack_waiters.replace(true) {
            return false;
        }
        while let Some(waiter) = self.waiting_for_stack.pop_front() {
            self.block(waiter).waits_for_stack.set(false);
            self.ready.push_back(waiter);
        }
        true
    }

    /// Lets the stack waiters try again though no stack has come back, because some of them have
    /// not tried yet.
    #[cold]
    pub(in crate::sched) fn retry_stack_waiters_again(&self) {
        self.retried_stack_waiters.set(false);
        self.retry_stack_waiters();
    }

    /// Queues a tasklet for the next free stack.
    #[cold]
    pub(super) fn wait_for_stack(&self, tcb: TcbPtr) {
        let others_hold_stacks = self.pool.borrow().in_use() > 0;
        let may_be_alone = self.late.get();
        assert!(
            others_hold_stacks || may_be_alone,
            "the first stack was made before the loop began"
        );
        let block = self.block(tcb);
        block.waits_for_stack.set(true);
        // One stack beyond the limit is lent to killed tasklets. When it comes back, a killed
        // tasklet must be the next to try.
        match block.killed.get() {
            true => self.waiting_for_stack.push_front(tcb),
            false => self.waiting_for_stack.push_back(tcb),
        }
    }

    /// Queues a killed tasklet that waits for a stack, since one may be free for it now.
    #[cold]
    pub(in crate::sched) fn retry_killed(&self, tcb: TcbPtr) {
        self.waiting_for_stack.remove(tcb);
        self.block(tcb).waits_for_stack.set(false);
        self.ready.push_back(tcb);
    }

    /// Takes a fiber for a tasklet that starts. Returns `None` if it must wait until a stack is
    /// free.
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
            // Idle fibers hold stacks that this tasklet may use instead.
            for fiber in self.idle.borrow_mut().drain(..) {
                pool.give(fiber.retire());
            }
            taken = pool.take((size != 0).then_some(size));
        }
        match taken {
            Ok(stack) => Some(self.fiber(stack)),
            Err(TakeError::Limit) if block.killed.get() => {
                // Tasklets that hold the other stacks may wait for its end. It has a size of its
                // own now, so that its stack goes back to the pool and not to the next tasklet.
                let stack = pool.take_beyond().ok()?;
                block.stack_size.set(stack.size());
                Some(self.fiber(stack))
            }
            Err(TakeError::Limit) => None,
            Err(TakeError::Os(_)) => {
                // Waiting would not help. It gets a stack of the default size, to drop its closure.
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

    /// Makes a fiber; under Miri it has thread-locals of its own.
    #[cfg(miri)]
    fn fiber(&self, stack: Stack) -> Fiber {
        let sched = std::ptr::NonNull::from(self);
        Fiber::new(stack, body, move || set_current(sched))
    }

    /// Removes a tasklet that has ended, and passes its stack on.
    pub(super) fn reap_tasklet(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        // SAFETY: this is the hub again, and the fiber has come back from its job.
        let fiber = unsafe { (*block.fiber.get()).take() };
        let fiber = fiber.expect("a tasklet that ran has a fiber");
        let mut idle = self.idle.borrow_mut();
        if block.stack_size.get() == 0 && idle.len() < IDLE_MAX {
            idle.push(fiber);
        } else {
            self.pool.borrow_mut().give(fiber.retire());
        }
        drop(idle);
        self.retried_stack_waiters.set(false);
        self.some_ended.set(true);
        if let Some(waiter) = self.waiting_for_stack.pop_front() {
            self.block(waiter).waits_for_stack.set(false);
            self.ready.push_front(waiter);
        }
        self.forget_tasklet(tcb);
    }
}
