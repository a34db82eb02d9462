//! Cutting a wait short: kills, deadlines, verdicts and closed channels.
//!
//! All but one kind of wait end at once. A pending operation does not: it is asked to end, and its
//! completion decides (first law).

use super::{Message, Sched, State, Tcb, TcbPtr, Verdict, Waiting, Wake, drop_locals, seat_of};
use crate::sched::interrupts::{REQUEST, answer};

/// How many candidates for a verdict are kept without asking whether they are of any use.
const CANDIDATES_MIN: usize = 1_024;

impl Sched {
    /// Asks a tasklet to end. Takes effect where it waits, or at its next suspension point. Who
    /// waits for a scope passes it on to the scope's tasklets.
    pub(crate) fn kill(&self, tcb: TcbPtr) {
        let mut asked = vec![tcb];
        while let Some(tcb) = asked.pop() {
            let block = self.block(tcb);
            if block.is_over() {
                continue;
            }
            self.assert_ours(block);
            block.killed.set(true);
            if block.is_starved.get() {
                self.try_killed(tcb);
            }
            if block.state.get() != State::Waiting {
                continue;
            }
            match block.waiting.get() {
                // It was ready: it goes on, to the end of its shields.
                Waiting::Held => self.wake(tcb, Wake::Killed),
                _ if block.shields.get() > 0 => {}
                // SAFETY: the scope is in the frame of its owner, which waits for it.
                Waiting::Scope(scope) => unsafe { scope.as_ref() }.each(|child| asked.push(child)),
                waiting if block.kill_errors.get() > 0 && !waiting.can_say_killed() => {}
                _ => self.cut_short(tcb, Wake::Killed),
            }
        }
    }

    /// Ends a wait early, or asks its operation to end. The wait for a scope cannot be ended.
    pub(crate) fn cut_short(&self, tcb: TcbPtr, why: Wake) {
        let block = self.block(tcb);
        match block.waiting.get() {
            Waiting::Nothing => unreachable!("a waiting tasklet waits for something"),
            Waiting::Op { token, .. } => {
                if !block.cut.replace(true) {
                    self.driver.borrow_mut().cancel(token);
                }
                // The operation's end is what counts now.
                self.forget_deadline(block);
            }
            // SAFETY: it waits, so its frame is there.
            Waiting::Select(choice) => self.cut_choice(unsafe { choice.as_ref() }, why),
            Waiting::Scope(_) => {}
            _ => {
                self.unlink(block, tcb);
                self.wake(tcb, why);
            }
        }
    }

    /// Ends the waits that the thread's signal handlers have asked to end, those of tasklets that
    /// are to wait again included. Calls that begin later are not meant. Answers a request, too.
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
                    self.interrupt(tcb);
                }
            });
        }
    }

    /// As `signal::request`, for the calling tasklet's scheduler.
    pub(crate) fn request(&self) -> bool {
        self.interrupts.request()
    }

    /// Ends a wait that can say that a signal handler has run. Where it has ended otherwise, that
    /// counts, but the next wait of the same call does not begin.
    #[cold]
    fn interrupt(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        block.interrupted.set(true);
        let can_say_so = match block.waiting.get() {
            Waiting::Op { .. } => !block.cut.get(),
            Waiting::Sleep | Waiting::Remote { can_fail: true, .. } => true,
            _ => false,
        };
        if can_say_so && block.state.get() == State::Waiting {
            self.cut_short(tcb, Wake::TimedOut);
        }
    }

    /// Takes a waiting tasklet out of whatever would wake it.
    pub(super) fn unlink(&self, block: &Tcb, tcb: TcbPtr) {
        match block.waiting.get() {
            Waiting::Channel { queue, sending } => {
                // SAFETY: a channel outlives those who wait in it: each of them borrows it.
                unsafe { queue.as_ref() }.side(sending).remove(seat_of(tcb));
            }
            // SAFETY: it waits, so its frame is there.
            Waiting::Select(choice) => self.give_up(unsafe { choice.as_ref() }),
            // SAFETY: a group outlives whoever waits for its members.
            Waiting::Member(bell) => unsafe { bell.as_ref() }.set(None),
            Waiting::Join(target) => self.block(target).joiner.set(None),
            Waiting::Remote { token, .. }
            | Waiting::Threads { token, .. }
            | Waiting::Lock { token, .. } => {
                self.remote_waits.borrow_mut().remove(token);
            }
            // SAFETY: it waits, so its frame is there.
            Waiting::Scope(scope) => unsafe { scope.as_ref() }.owner.set(None),
            Waiting::Nothing
            | Waiting::Op { .. }
            | Waiting::Sleep
            | Waiting::Paused
            | Waiting::Held => {}
        }
    }

    /// Begins the shutdown, of the whole group: everybody is killed, now and at every suspension
    /// point to come.
    pub(super) fn end_all(&self) {
        if !self.ending.replace(true) {
            self.grace_until.set(self.read_clock().saturating_add(self.limits.grace_ns));
            self.group.end();
            self.group.post_others(self.member, || Message::End);
        }
        self.each(|tcb, _| self.kill(tcb));
    }

    /// Nobody runs and nobody is left to wake anyone: tells the last waiter whose call can return
    /// an error; where there is none, `run` itself.
    pub(super) fn deadlock(&self) {
        if !self.telling_all.replace(true) {
            self.watched.set(true);
            self.buried.set(false);
            self.candidates.borrow_mut().collect(|add| self.each(|tcb, _| add(tcb)));
        }
        let last = self.candidates.borrow_mut().pop();
        let verdict = self.verdict_for(last);
        if let Some(tcb) = last {
            self.block(tcb).extra_or_new(|extra| extra.verdict = Some(verdict));
            self.cut_short(tcb, Wake::Deadlock);
        } else if self.ending.get() {
            // Killed already, and still nobody can go on: shielded for ever.
            self.grace_until.set(0);
        } else {
            *self.verdict.borrow_mut() = Some(verdict);
            self.end_all();
        }
    }

    /// The verdict for `waiter`; for `run` where there is none. Made once: all who waited when it
    /// was made get the same one, however many have been told and have ended since.
    fn verdict_for(&self, waiter: Option<TcbPtr>) -> Verdict {
        let parked_at = waiter.map_or_else(|| self.last_parked(), |tcb| self.parked_at(tcb));
        let mut last = self.last_verdict.borrow_mut();
        if let Some((made_at, verdict)) = &*last
            && parked_at <= *made_at
        {
            return verdict.clone();
        }
        let waiters = self.youngest(Verdict::WAITERS_MAX);
        let verdict = Verdict::new(waiters, self.live.get());
        *last = Some((self.order.get(), verdict.clone()));
        verdict
    }

    fn parked_at(&self, tcb: TcbPtr) -> u64 {
        self.block(tcb).parked_at.get()
    }

    /// When the last of those who live was parked.
    fn last_parked(&self) -> u64 {
        let mut last = 0;
        self.each(|tcb, _| last = last.max(self.parked_at(tcb)));
        last
    }

    /// Notes one that has just run, in a run of verdicts: it may be the last waiter now.
    #[cold]
    pub(super) fn note_candidate(&self, tcb: TcbPtr) {
        let mut candidates = self.candidates.borrow_mut();
        candidates.add(tcb);
        // Most of them have gone on: somebody is busy, and there may be no further verdict.
        if candidates.len() > 2 * self.live.get() + CANDIDATES_MIN {
            drop(candidates);
            self.end_verdicts();
        }
    }

    /// The run of verdicts is over: what happens from now on is not looked at.
    pub(super) fn end_verdicts(&self) {
        if self.telling_all.replace(false) {
            self.candidates.borrow_mut().clear();
        }
    }

    /// What every tasklet does last, on its own stack: tells whoever waits for its end.
    pub(super) fn say_over(&self, block: &Tcb) {
        if let Some(joiner) = block.joiner.take() {
            self.grant(joiner, Wake::Done);
        }
        if let Some(waker) = block.extra(|extra| extra?.waker.take()) {
            self.wake_executor(block, waker);
        }
        if let Some(scope) = block.scope.get() {
            // SAFETY: `scope` does not return before its last tasklet has said this.
            let scope = unsafe { scope.as_ref() };
            scope.remove(block);
            if scope.first.get().is_none()
                && let Some(owner) = scope.owner.take()
            {
                self.wake(owner, Wake::Done);
            }
        }
        if let Some(line) = block.extra(|extra| extra?.line.take()) {
            self.remotes.borrow_mut().remove(line.hang_up());
        }
    }

    /// Tells whoever polls a tasklet's end: the executor's code, on the tasklet's own stack. So are
    /// the locals dropped that it makes.
    #[cold]
    fn wake_executor(&self, block: &Tcb, waker: std::task::Waker) {
        if self.running.get().is_none() {
            // Parked for good by the hub, which runs nobody's code; all who could poll end, too.
            return std::mem::forget(waker);
        }
        // Whoever waits for this end has been told of it, so it does not wait any more.
        block.hold_still(|| waker.wake());
        block.hold_still(|| drop_locals(block));
    }
}
