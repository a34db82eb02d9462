//! The run loop: one ready tasklet after another, and a look outside in between.

mod budget;
mod own;
mod stacks;

use std::ptr::NonNull;

use super::idle::Look;
use super::witness::in_order;
use super::{CURRENT, Ending, Locals, Sched, State, Tcb, TcbPtr, release};
use crate::switch::{Fiber, HANDS_OVER, Job, Paused, Suspender, prefetch};
pub(super) use budget::Budget;

impl Sched {
    /// The loop. It returns when nobody lives in the whole group; survivors of the grace time do
    /// not count, they are parked for good.
    pub(super) fn run_loop(&self, main: Option<TcbPtr>, until_main: bool) {
        self.budget.begin(self.now.get());
        loop {
            if let Some(tcb) = self.ready.pop_front() {
                self.prefetch_next();
                self.budget.spend();
                if let Some(ran) = self.switch_to(tcb)
                    && self.watched.get()
                {
                    self.after_switch(ran);
                }
                if self.budget.is_spent() {
                    self.look();
                    self.budget.renew(self.now.get());
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

    /// Runs one tasklet, and whoever it hands over to, until somebody comes back here: parks,
    /// yields or ends. Says who; nobody, where there is no stack for `tcb`.
    #[inline]
    fn switch_to(&self, tcb: TcbPtr) -> Option<TcbPtr> {
        let block = self.block(tcb);
        let fresh = block.fiber().is_none();
        let equipped = if fresh { self.equip(block) } else { block.fiber() };
        let Some(fiber) = equipped else {
            self.starve(tcb);
            return None;
        };
        block.state.set(State::Running);
        self.running.set(Some(tcb));
        self.pulse.beat();
        CURRENT.with(|current| current.set(Some(NonNull::from(self))));
        // SAFETY: this is the hub, and nobody runs. A fiber that was there is in the middle of its
        // job: `bury` takes it out at the end. A block keeps its place, and so does the scheduler
        // while the loop runs.
        let paused = unsafe {
            if fresh {
                fiber.start(&block.position, &self.hub, tcb.as_ptr().cast_const().cast())
            } else {
                fiber.resume(&block.position, &self.hub)
            }
        };
        if CURRENT.replace(None).is_none() {
            ended_in_a_child();
        }
        self.pulse.beat();
        let ran = self.running.take();
        if paused == Paused::Finished
            && let Some(ran) = ran
        {
            self.bury(ran);
        }
        ran
    }

    /// Leaves the calling tasklet's stack, for that of whoever comes next or for the hub's. Comes
    /// back when somebody switches to it.
    ///
    /// The next one in the queue can be switched to from here unless the hub has something to do:
    /// look outside, start somebody, sleep, note who ran. That is one switch instead of two.
    #[inline(always)]
    pub(crate) fn leave_stack(&self, me: &Tcb, suspender: &Suspender) {
        let Some(next) = self.next_in_turn() else { return suspender.suspend() };
        let block = self.block(next);
        let mut entrance = None;
        if block.fiber().is_none() {
            entrance = self.equip_at_once(block).map(Fiber::entrance);
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
            return; // Nobody else is ready.
        }
        // SAFETY: this is `me`, in its job. The other was in the ready queue: in the middle of its
        // job, if it had a fiber, or with one that is between two jobs. Both are this scheduler's,
        // which stays in place while the loop runs, and so do blocks.
        unsafe {
            if let Some(entrance) = entrance {
                let job = next.as_ptr().cast_const().cast();
                me.position.start(entrance, &raw const block.position, &self.hub, job);
            } else {
                me.position.hand_over(block.position.mark());
            }
        }
    }

    /// Who may be switched to without the hub.
    #[inline(always)]
    fn next_in_turn(&self) -> Option<TcbPtr> {
        if !HANDS_OVER || self.budget.is_spent() || self.watched.get() {
            return None;
        }
        self.ready.front()
    }

    /// Asks for the memory of the tasklet that comes next, and for the block of the one after it,
    /// which the next call reads. Together with inlining the switch, a yield among 1,000 tasklets
    /// went from 15 to 12 ns, among 100,000 from 141 to 52.
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

    /// Gives up the scheduler's reference to a tasklet that has ended.
    fn forget(&self, tcb: TcbPtr) {
        self.unlist(tcb);
        // SAFETY: the scheduler's reference, and no queue or list names the block any more.
        unsafe { release(tcb) };
    }

    /// Takes a tasklet out of the list of the living.
    pub(super) fn unlist(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        let (prev, next) = (block.all_prev.take(), block.all_next.get());
        match prev {
            Some(prev) => self.block(prev).all_next.set(next),
            None => self.all.set(next),
        }
        in_order();
        block.all_next.set(None);
        if let Some(next) = next {
            self.block(next).all_prev.set(prev);
        }
        self.live.set(self.live.get() - 1);
    }
}

/// A tasklet forked and came to its end in the child, where its scheduler cannot go on: the ring
/// and the other tasklets are the parent's.
#[cold]
fn ended_in_a_child() -> ! {
    eprintln!(
        "overlapped: a tasklet that forked has ended in the child, which should end by exec or \
         exit; aborting"
    );
    std::process::abort();
}

/// Runs one tasklet from its first instruction to its last, on its own stack.
fn body(job: Job, suspender: &Suspender) {
    let tcb: TcbPtr = NonNull::new(job.cast_mut().cast()).expect("a job is never null");
    let here = super::here().expect("a fiber runs in a scheduler");
    let block = here.block(tcb);
    block.suspender.set(suspender);
    here.running.set(Some(tcb));
    here.tell_switched();
    if block.locals.get() == Locals::Asked {
        own::run_on_block(here, tcb);
    } else {
        // SAFETY: the scheduler runs each tasklet once, on its own stack.
        unsafe { (block.vtable.run)(tcb) };
    }
    block.state.set(State::Done);
    here.timers.borrow_mut().disarm(tcb);
    here.say_over(block);
}
