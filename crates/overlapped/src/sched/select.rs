//! The completion of waits: of a wait for one event, and of a select, one of whose alternatives
//! happens. Every completion of the port comes to [`Sched::complete`].
//!
//! A select is decided once: by a channel partner, by a tasklet's end, by a completion, by the
//! time, a kill or a deadlock report. In the same step all other nodes are unlinked, so the
//! channels' queues and balances show no trace of a select that has found its partner. Its
//! operations are cancelled, and the select goes on after the last of them (terminal completion
//! first). `wait_node.rs` has the types.

use std::ptr::NonNull;

use super::tasklet::tcb_of;
use super::{Alternative, Registration, Sched, SelectState, TcbPtr, WaitNodePtr, Wake};
use crate::op::Outcome;

/// The owner of a wait node.
enum NodeOwner {
    Tasklet(TcbPtr),
    Select(NonNull<Alternative>),
}

/// Returns the owner of a node that is, or was until now, in a queue.
#[inline(always)]
fn owner_of(node: WaitNodePtr) -> NodeOwner {
    // SAFETY: a node that others can reach belongs to a waiting tasklet, so its owner lives.
    if unsafe { node.as_ref() }.is_in_select() {
        NodeOwner::Select(node.cast())
    } else {
        NodeOwner::Tasklet(tcb_of(node))
    }
}

impl Sched {
    /// Completes the wait on `node`, which is already unlinked. Returns the tasklet, still parked,
    /// for the caller to wake with `why`; `None` if operations of its select must end first.
    #[inline(always)]
    pub(crate) fn claim(&self, node: WaitNodePtr, why: Wake) -> Option<TcbPtr> {
        match owner_of(node) {
            NodeOwner::Tasklet(tcb) => Some(tcb),
            NodeOwner::Select(alternative) => {
                // SAFETY: a node that others can reach belongs to a select that still waits, so
                // the frame that holds the alternative is there.
                self.claim_select(unsafe { alternative.as_ref() }, why)
            }
        }
    }

    #[inline(never)]
    fn claim_select(&self, alternative: &Alternative, why: Wake) -> Option<TcbPtr> {
        let select = alternative.select();
        alternative.registration.set(Registration::None);
        self.decide(select, Some(alternative), why);
        (select.in_flight.get() == 0).then_some(tcb_of(select.owner))
    }

    /// Completes the wait on `node`, and wakes the tasklet.
    pub(crate) fn claim_and_wake(&self, node: WaitNodePtr, why: Wake) {
        if let Some(tcb) = self.claim(node, why) {
            self.wake(tcb, why);
        }
    }

    /// Ends the wait of a select early, because of the time, a kill or a deadlock report.
    pub(in crate::sched) fn interrupt_select(&self, select: &SelectState, why: Wake) {
        if select.decided.get().is_none() {
            self.decide(select, None, why);
            if select.in_flight.get() == 0 {
                self.wake(tcb_of(select.owner), why);
            }
        }
    }

    /// Completes the wait for an operation.
    #[inline(always)]
    pub(in crate::sched) fn complete(&self, node: WaitNodePtr, outcome: Outcome) {
        match owner_of(node) {
            NodeOwner::Tasklet(tcb) => {
                self.block(tcb).outcome.set(outcome);
                self.wake(tcb, Wake::Done);
            }
            NodeOwner::Select(alternative) => {
                // SAFETY: the select waits for every one of its operations, so its frame is there.
                let alternative = unsafe { alternative.as_ref() };
                self.complete_select(alternative, outcome);
            }
        }
    }

    #[inline(never)]
    fn complete_select(&self, alternative: &Alternative, outcome: Outcome) {
        let select = alternative.select();
        alternative.registration.set(Registration::None);
        alternative.outcome.set(outcome);
        select.in_flight.set(select.in_flight.get() - 1);
        if select.decided.get().is_none() {
            // A signal came in between: nothing has happened, and the select checks its
            // alternatives again.
            let happened = (!outcome.is_cancelled()).then_some(alternative);
            self.decide(select, happened, Wake::Done);
        }
        if select.in_flight.get() == 0
            && let Some(why) = select.decided.get()
        {
            self.wake(tcb_of(select.owner), why);
        }
    }

    /// Records what happened, and unlinks everything else.
    pub(crate) fn decide(&self, select: &SelectState, happened: Option<&Alternative>, why: Wake) {
        assert!(select.decided.replace(Some(why)).is_none(), "a select is decided once");
        select.happened.set(happened.map(NonNull::from));
        self.forget_deadline(self.block(tcb_of(select.owner)));
        self.deregister_all(select);
    }

    /// Unlinks every alternative, and asks every operation to end.
    pub(in crate::sched) fn deregister_all(&self, select: &SelectState) {
        self.unlink_alternatives(select);
        select.each(|alternative| {
            if let Registration::Op { token, .. } = alternative.registration.get() {
                self.driver.borrow_mut().cancel(token);
            }
        });
    }

    /// Unlinks every alternative; operations go on.
    pub(in crate::sched) fn unlink_alternatives(&self, select: &SelectState) {
        select.each(|alternative| match alternative.registration.get() {
            Registration::None | Registration::Op { .. } => {}
            Registration::Join { joiner, .. } => {
                alternative.registration.set(Registration::None);
                // SAFETY: the source of the alternative has a reference to the joined tasklet.
                unsafe { joiner.as_ref() }.set(None);
            }
            Registration::Channel { queue, sending } => {
                alternative.registration.set(Registration::None);
                // SAFETY: a channel outlives the tasklets that wait in it: each of them borrows it.
                let side = unsafe { queue.as_ref() }.side(sending);
                side.remove(alternative.as_node());
            }
        });
    }
}
