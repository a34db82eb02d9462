//! Selects: how one of several alternatives comes to be the one that happened.
//!
//! A choice is decided once: by a channel partner, by somebody's end, by a completion, by the time,
//! a kill or a verdict. In the same step all other seats are given up, so the channels' queues and
//! balances show no trace of a select that has found its partner. Its operations are asked to end,
//! and the select goes on after the last of them (first law). See `seat.rs`.

use std::ptr::NonNull;

use super::{Alternative, Choice, NEVER, Place, Seat, SeatPtr, Sitter, Tcb, TcbPtr, Wake};
use crate::op::Outcome;
use crate::sched::Sched;

impl Sched {
    /// Gives whoever sits in `seat` what he waits for; the seat is in no queue any more. Gives the
    /// tasklet, which is still parked, to be woken with `why`; none where operations of its select
    /// must end first.
    #[inline(always)]
    pub(crate) fn claim(&self, seat: SeatPtr, why: Wake) -> Option<TcbPtr> {
        match Seat::sitter(seat) {
            Sitter::Tasklet(tcb) => Some(tcb),
            // SAFETY: whoever sits somewhere lives, and its frame stays.
            Sitter::Select(alternative) => self.claim_select(unsafe { alternative.as_ref() }, why),
        }
    }

    #[inline(never)]
    fn claim_select(&self, alternative: &Alternative, why: Wake) -> Option<TcbPtr> {
        let choice = alternative.choice();
        alternative.place.set(Place::Nowhere);
        self.decide(choice, Some(alternative), why);
        (choice.in_flight.get() == 0).then_some(choice.owner)
    }

    /// The same, and wakes the tasklet.
    pub(crate) fn grant(&self, seat: SeatPtr, why: Wake) {
        if let Some(tcb) = self.claim(seat, why) {
            self.wake(tcb, why);
        }
    }

    /// Ends the wait of a select early, because of the time, a kill or a verdict.
    pub(in crate::sched) fn cut_choice(&self, choice: &Choice, why: Wake) {
        if choice.decided.get().is_none() {
            self.decide(choice, None, why);
            if choice.in_flight.get() == 0 {
                self.wake(choice.owner, why);
            }
        }
    }

    /// An operation has ended: wakes who waits for it.
    #[inline(always)]
    pub(in crate::sched) fn complete(&self, seat: SeatPtr, outcome: Outcome) {
        match Seat::sitter(seat) {
            Sitter::Tasklet(tcb) => {
                self.block(tcb).outcome.set(outcome);
                self.wake(tcb, Wake::Done);
            }
            Sitter::Select(alternative) => {
                // SAFETY: its select waits for every one of its operations.
                let alternative = unsafe { alternative.as_ref() };
                self.complete_select(alternative, outcome);
            }
        }
    }

    #[inline(never)]
    fn complete_select(&self, alternative: &Alternative, outcome: Outcome) {
        let choice = alternative.choice();
        alternative.place.set(Place::Nowhere);
        alternative.outcome.set(outcome);
        choice.in_flight.set(choice.in_flight.get() - 1);
        if choice.decided.get().is_none() {
            // A signal came between: nothing has happened, and the select looks again.
            let happened = (!outcome.is_cancelled()).then_some(alternative);
            self.decide(choice, happened, Wake::Done);
        }
        if choice.in_flight.get() == 0
            && let Some(why) = choice.decided.get()
        {
            self.wake(choice.owner, why);
        }
    }

    /// Notes what happened, and gives up everything else.
    pub(crate) fn decide(&self, choice: &Choice, happened: Option<&Alternative>, why: Wake) {
        assert!(choice.decided.replace(Some(why)).is_none(), "a choice is decided once");
        choice.happened.set(happened.map(NonNull::from));
        self.forget_deadline(self.block(choice.owner));
        self.give_up(choice);
    }

    /// The time has done its part, or has none any more.
    pub(in crate::sched) fn forget_deadline(&self, block: &Tcb) {
        if block.wait_until.replace(NEVER) != NEVER {
            self.timed_waits.set(self.timed_waits.get() - 1);
        }
    }

    /// Leaves every seat, and asks every operation to end.
    pub(in crate::sched) fn give_up(&self, choice: &Choice) {
        self.leave_seats(choice);
        choice.each(|alternative| {
            if let Place::Op { token, .. } = alternative.place.get() {
                self.driver.borrow_mut().cancel(token);
            }
        });
    }

    /// Leaves every seat; operations go on.
    pub(in crate::sched) fn leave_seats(&self, choice: &Choice) {
        choice.each(|alternative| match alternative.place.get() {
            Place::Nowhere | Place::Op { .. } => {}
            Place::Join(target) => {
                alternative.place.set(Place::Nowhere);
                self.block(target).joiner.set(None);
            }
            Place::Channel { queue, sending } => {
                alternative.place.set(Place::Nowhere);
                // SAFETY: a channel outlives those who wait in it: each of them borrows it.
                let side = unsafe { queue.as_ref() }.side(sending);
                side.remove(alternative.as_seat());
            }
        });
    }
}
