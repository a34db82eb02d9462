//! The run loop: it switches to one ready tasklet after another, and polls in between.

mod budget;
mod own;
mod stacks;

use std::ptr::NonNull;

use super::here::{set_current, take_current};
use super::hub::ended_in_a_child;
use super::idle::PollOutcome;
use super::{Ending, Locals, Sched, State, Tcb, TcbPtr, release};
use crate::switch::{Fiber, HANDS_OVER, Job, Paused, Suspender, prefetch};
pub(super) use budget::Budget;

impl Sched {
    /// Runs the loop until no tasklet lives in the whole group. Tasklets that outlived the grace
    /// time do not count: they are parked for good.
    pub(super) fn run_loop(&self, main: Option<TcbPtr>, until_main: bool) {
        self.budget.begin(self.now.get());
        loop {
            if let Some(tcb) = self.ready.pop_front() {
                self.prefetch_next();
                self.budget.spend();
                if let Some(ran) = self.switch_to(tcb)
                    && self.after_switch_due.get()
                {
                    self.after_switch(ran);
                }
                if self.budget.is_spent() {
                    self.poll();
                    self.budget.renew(self.now.get());
                }
            } else {
                match self.poll_or_sleep() {
                    PollOutcome::Again => {}
                    PollOutcome::Deadlock => self.report_deadlock(),
                    PollOutcome::Over => return,
                }
            }
            if self.ending.get() {
                if self.grace_until.get() <= self.now.get() {
                    self.abandon_all(main);
                }
            } else if let Some(main) = main {
                // The handle's reference is the caller's, so main's block is there to the end.
                if self.block(main).is_over() {
                    if until_main || self.has_panicked(main) {
                        self.end_all();
                    } else {
                        self.pulse.first_has_ended();
                    }
                }
            }
        }
    }

    fn has_panicked(&self, main: TcbPtr) -> bool {
        self.block(main).ending.get() == Ending::Panicked
    }

    /// Does the rare work after a switch: takes traces, and collects candidates for a deadlock
    /// report.
    #[cold]
    fn after_switch(&self, ran: TcbPtr) {
        if self.tracing.get() {
            self.trace_everybody();
        }
        if self.reporting_deadlocks.get() && !self.some_ended.replace(false) {
            self.add_candidate(ran);
        }
        self.after_switch_due.set(self.reporting_deadlocks.get());
    }

    /// Runs one tasklet, and those to which it hands over, until one of them comes back here
    /// because it parks, yields or ends. Returns that one, or `None` if there is no stack for
    /// `tcb`.
    #[inline]
    fn switch_to(&self, tcb: TcbPtr) -> Option<TcbPtr> {
        let block = self.block(tcb);
        let fresh = block.fiber().is_none();
        let assigned = if fresh { self.assign_stack(block) } else { block.fiber() };
        let Some(fiber) = assigned else {
            self.wait_for_stack(tcb);
            return None;
        };
        block.state.set(State::Running);
        self.running.set(Some(tcb));
        self.pulse.beat();
        set_current(NonNull::from(self));
        // SAFETY: this is the hub, and no fiber runs. A fiber that was there is in the middle of
        // its job: `reap_tasklet` takes it out at the end. A block keeps its place, and so does the
        // scheduler while the loop runs.
        let paused = unsafe {
            if fresh {
                fiber.start(&block.position, &self.hub, tcb.as_ptr().cast_const().cast())
            } else {
                fiber.resume(&block.position, &self.hub)
            }
        };
        if take_current().is_none() {
            ended_in_a_child();
        }
        self.pulse.beat();
        let ran = self.running.take();
        if paused == Paused::Finished
            && let Some(ran) = ran
        {
            self.reap_tasklet(ran);
        }
        ran
    }

    /// Leaves the calling tasklet's stack, for that of the next tasklet or for the hub's. Returns
    /// when the tasklet is switched to again.
    ///
    /// This switches to the next tasklet in the queue directly, unless the hub has something to do:
    /// to poll, to make a stack, to sleep, to record which tasklet ran. That is one switch instead
    /// of two.
    #[inline(always)]
    pub(crate) fn leave_stack(&self, me: &Tcb, suspender: &Suspender) {
        let Some(next) = self.next_in_turn() else { return suspender.suspend() };
        let block = self.block(next);
        let mut entrance = None;
        if block.fiber().is_none() {
            entrance = self.assign_idle_stack(block).map(Fiber::entrance);
            if entrance.is_none() {
                return suspender.suspend();
            }
        }
        self.ready.pop_front();
        self.budget.spend();
        self.prefetch_next();
        block.state.set(State::Running);
        self.pulse.pass();
        if std::ptr::eq(block, me) {
            return; // No other tasklet is ready.
        }
        // SAFETY: this is `me`, in its job. The other tasklet was in the ready queue. If it had a
        // fiber, it is suspended in the middle of its job; otherwise it has been given a fiber that
        // is between two jobs. Both are this scheduler's, which stays in place while the loop runs,
        // and so do blocks.
        unsafe {
            if let Some(entrance) = entrance {
                let job = next.as_ptr().cast_const().cast();
                me.position.start(entrance, &raw const block.position, &self.hub, job);
            } else {
                me.position.hand_over(block.position.mark());
            }
        }
    }

    /// Returns the next tasklet, if a direct switch to it is allowed.
    #[inline(always)]
    fn next_in_turn(&self) -> Option<TcbPtr> {
        if !HANDS_OVER || self.budget.is_spent() || self.after_switch_due.get() {
            return None;
        }
        self.ready.front()
    }

    /// Prefetches the memory of the next tasklet, and the block of the one after it, which the next
    /// call reads. Together with inlining the switch, that took a yield among 1,000 tasklets from
    /// 15 to 12 ns, among 100,000 from 141 to 52.
    #[inline(always)]
    fn prefetch_next(&self) {
        if let Some(next) = self.ready.front() {
            let block = self.block(next);
            prefetch(block.position.hot());
            prefetch(block.position.hot().wrapping_byte_add(64));
            if let Some(second) = self.ready.after(next) {
                prefetch(second.as_ptr().cast_const().cast());
            }
        }
    }

    /// Drops the scheduler's reference to a tasklet that has ended.
    fn forget_tasklet(&self, tcb: TcbPtr) {
        self.unlist(tcb);
        // SAFETY: this is the scheduler's reference, and no queue or list names the block any more.
        unsafe { release(tcb) };
    }
}

/// Runs one tasklet from its first instruction to its last, on its own stack.
fn body(job: Job, suspender: &Suspender) {
    let tcb: TcbPtr = NonNull::new(job.cast_mut().cast()).expect("a job is never null");
    let here = super::here().expect("a fiber runs in a scheduler");
    let block = here.block(tcb);
    block.suspender.set(suspender);
    here.running.set(Some(tcb));
    here.observe_switch();
    if block.locals.get() == Locals::Asked {
        own::run_on_block(here, tcb);
    } else {
        // SAFETY: the scheduler runs each tasklet once, on its own stack.
        unsafe { (block.vtable.run)(tcb) };
    }
    block.state.set(State::Done);
    here.timers.borrow_mut().disarm(tcb);
    here.announce_end(block);
}
