//! The end of a wait before its event: kills, deadlines, deadlock reports, signal handlers; and the
//! notifications at a tasklet's end.
//!
//! | wait for | its early end |
//! |---|---|
//! | an operation | it is cancelled; its completion decides (terminal completion first) |
//! | the first of several | it is decided at once; operations in it must complete first |
//! | a scope | none: a kill goes on to the scope's tasklets, and the wait ends after them |
//! | anything else | the tasklet is unlinked, and woken with the reason |
//!
//! A kill is delivered by the killed tasklet itself, when it is back on its stack
//! (`task/suspension/kill`).

use super::idle::interrupts::{REQUEST, answer};
use super::{Message, Sched, State, Tcb, TcbPtr, Waiting, Wake, drop_locals, node_of};

/// Kills, and other early ends of waits.
impl Sched {
    /// Kills a tasklet. The kill takes effect where the tasklet waits, or at its next suspension
    /// point. A tasklet that waits for a scope passes the kill on to the scope's tasklets.
    pub(crate) fn kill(&self, tcb: TcbPtr) {
        let mut asked = vec![tcb];
        while let Some(tcb) = asked.pop() {
            let block = self.block(tcb);
            if block.is_over() {
                continue;
            }
            self.assert_ours(block);
            block.killed.set(true);
            if block.waits_for_stack.get() {
                self.retry_killed(tcb);
            }
            if block.state.get() != State::Waiting {
                continue;
            }
            match block.waiting.get() {
                // The tasklet was ready before it was paused, so it runs on until its shields end.
                Waiting::PausedByOther => self.wake(tcb, Wake::Killed),
                _ if block.shields.get() > 0 => {}
                // SAFETY: the scope is in the frame of its owner, which waits for it.
                Waiting::Scope(scope) => unsafe { scope.as_ref() }.each(|child| asked.push(child)),
                waiting if block.kill_errors.get() > 0 && !waiting.can_say_killed() => {}
                _ => self.interrupt_wait(tcb, Wake::Killed),
            }
        }
    }

    /// Ends a wait early, or cancels its operation. The wait for a scope cannot be ended.
    pub(crate) fn interrupt_wait(&self, tcb: TcbPtr, why: Wake) {
        let block = self.block(tcb);
        match block.waiting.get() {
            Waiting::Nothing => unreachable!("a waiting tasklet waits for something"),
            Waiting::Op { token, .. } => {
                if !block.cancel_requested.replace(true) {
                    self.driver.borrow_mut().cancel(token);
                }
                // Only the operation's end counts now.
                self.forget_deadline(block);
            }
            // SAFETY: the tasklet waits, so its frame is there.
            Waiting::Select(select) => self.interrupt_select(unsafe { select.as_ref() }, why),
            Waiting::Scope(_) => {}
            _ => {
                self.unlink(block, tcb);
                self.wake(tcb, why);
            }
        }
    }

    /// Takes a waiting tasklet out of whatever would wake it.
    pub(super) fn unlink(&self, block: &Tcb, tcb: TcbPtr) {
        match block.waiting.get() {
            Waiting::Channel { queue, sending } => {
                // SAFETY: a channel outlives the tasklets that wait in it: each of them borrows it.
                unsafe { queue.as_ref() }.side(sending).remove(node_of(tcb));
            }
            // SAFETY: the tasklet waits, so its frame is there.
            Waiting::Select(select) => self.deregister_all(unsafe { select.as_ref() }),
            // SAFETY: a group outlives the tasklet that waits for its members.
            Waiting::Member(waiter) => unsafe { waiter.as_ref() }.set(None),
            Waiting::Join(target) => self.block(target).joiner.set(None),
            Waiting::Remote { token, .. }
            | Waiting::Threads { token, .. }
            | Waiting::Lock { token, .. } => {
                self.remove_remote_wait(token);
            }
            // SAFETY: the tasklet waits, so its frame is there.
            Waiting::Scope(scope) => unsafe { scope.as_ref() }.owner.set(None),
            Waiting::Nothing
            | Waiting::Op { .. }
            | Waiting::Sleep
            | Waiting::Paused
            | Waiting::PausedByOther => {}
        }
    }

    /// Begins the shutdown of the whole group: all tasklets are killed, now and at every suspension
    /// point to come.
    pub(super) fn end_all(&self) {
        if !self.ending.replace(true) {
            self.grace_until.set(self.read_clock().saturating_add(self.config.grace_ns));
            self.group.end();
            self.group.post_others(self.member, || Message::End);
        }
        self.each(|tcb, _| self.kill(tcb));
    }
}

/// Signal handlers.
impl Sched {
    /// Ends the waits that a signal handler of this thread wants to end, also those of tasklets
    /// that are about to wait again, but not those of later calls. Answers a `request`, too.
    #[inline]
    pub(crate) fn end_interrupted_waits(&self) {
        match self.interrupts.take() {
            0 => {}
            bits => self.answer_handlers(bits),
        }
    }

    #[cold]
    fn answer_handlers(&self, bits: u8) {
        if bits & REQUEST != 0 {
            answer();
        }
        let handlers = bits & !REQUEST;
        if handlers != 0 {
            self.each(|tcb, block| {
                if block.interruptible.get() & handlers != 0 {
                    self.interrupt_by_signal(tcb);
                }
            });
        }
    }

    /// Asks this scheduler, which is the calling tasklet's, to call the function of
    /// `signal::answer_requests`.
    pub(crate) fn request(&self) -> bool {
        self.interrupts.request()
    }

    /// Ends a wait whose call can return that a signal handler has run. If the wait has ended
    /// otherwise, that result counts, but the next wait of the same call does not begin.
    #[cold]
    fn interrupt_by_signal(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        block.interrupted.set(true);
        let can_say_so = match block.waiting.get() {
            Waiting::Op { .. } => !block.cancel_requested.get(),
            Waiting::Sleep | Waiting::Remote { can_fail: true, .. } => true,
            _ => false,
        };
        if can_say_so && block.state.get() == State::Waiting {
            self.interrupt_wait(tcb, Wake::TimedOut);
        }
    }
}

/// The end of a tasklet.
impl Sched {
    /// Completes all waits for the end of `block`. This is a tasklet's last act, on its own stack;
    /// the hub does it for a tasklet that is parked for good.
    pub(super) fn announce_end(&self, block: &Tcb) {
        if let Some(joiner) = block.joiner.take() {
            self.claim_and_wake(joiner, Wake::Done);
        }
        if let Some(waker) = block.extra(|extra| extra?.waker.take()) {
            self.wake_executor(block, waker);
        }
        if let Some(scope) = block.scope.get() {
            // SAFETY: `scope` does not return before its last tasklet has announced its end.
            let scope = unsafe { scope.as_ref() };
            scope.remove(block);
            if scope.first.get().is_none()
                && let Some(owner) = scope.owner.take()
            {
                self.wake(owner, Wake::Done);
            }
        }
        if let Some(token) = block.extra(|extra| extra?.remote.take())
            && let Some((_, Some(link))) = self.remotes.borrow_mut().remove(token)
        {
            link.close();
        }
    }

    /// Wakes the executor that polls a tasklet's end. The waker is the executor's code. It runs on
    /// the tasklet's own stack; the locals that it makes are dropped there, too.
    #[cold]
    fn wake_executor(&self, block: &Tcb, waker: std::task::Waker) {
        if self.running.get().is_none() {
            // The hub parks the tasklet for good, and runs no code of the user's. No poll is
            // missed: the shutdown ends everything that could poll.
            return std::mem::forget(waker);
        }
        // Joiners have been notified of this end, so the tasklet does not wait any more.
        block.call_without_waiting(|| waker.wake());
        block.call_without_waiting(|| drop_locals(block));
    }
}
