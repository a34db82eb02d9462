//! The transfer of a value from one stack to another.
//!
//! The slot of a waiter's node points to an `Option<T>`: empty for a receiver, full for a sender.
//! The partner fills or empties it and wakes the waiter. The waiter's frame stays until the node
//! has been removed from the queue, by a partner or by whatever ends the wait early. So the pointer
//! is valid as long as the node is in the queue. Only sends and receives of one `Core<T>` put nodes
//! into its queues, so the pointer is to an `Option<T>` of that very `T`.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::handover::Handover;
use super::{RecvError, SendError};
use crate::sched::{
    Alternative, ChannelEvent, DeadlockReport, Here, NEVER, Registration, State, WaitNodePtr,
    WaitQueue, Waiting, Wake, here, node_of,
};
use crate::task::suspension::{checkpoint, deliver_kill, park, suspend};
use crate::task::{CannotWait, take_deadlock_report};

/// The time that a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WaitLimit {
    /// No wait, and no switch either.
    None,
    /// Without a limit.
    Forever,
    /// Until this time, on the port's clock.
    Until(u64),
}

/// The state that the handles of a channel share.
pub(super) struct Core<T> {
    waiting: WaitQueue,
    handover: Cell<Handover>,
    closing: Cell<bool>,
    /// Values go in and come out, so `T` must be invariant: a `&'a str` that was sent through a
    /// channel of `&'static str` would dangle.
    values: PhantomData<Cell<T>>,
}

/// The reason why a transfer failed.
enum Failure {
    Closed,
    TimedOut,
    Cancelled,
    Deadlock(DeadlockReport),
    WouldBlock,
}

impl<T> Core<T> {
    pub(super) fn new(handover: Handover, name: Option<Box<str>>) -> Core<T> {
        Core {
            waiting: name.map_or_else(WaitQueue::default, WaitQueue::named),
            handover: Cell::new(handover),
            closing: Cell::new(false),
            values: PhantomData,
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.waiting.name()
    }

    pub(super) fn handover(&self) -> Handover {
        self.handover.get()
    }

    pub(super) fn set_handover(&self, handover: Handover) {
        self.handover.set(handover);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.get()
    }

    pub(super) fn open(&self) {
        self.closing.set(false);
    }

    pub(super) fn balance(&self) -> isize {
        let len = |sending| self.waiting.side(sending).len().cast_signed();
        len(true) - len(false)
    }

    pub(super) fn close(&self, wake_senders: bool) {
        self.closing.set(true);
        let Some(here) = here() else { return };
        for sending in [true, false] {
            while (wake_senders || !sending)
                && let Some(waiter) = self.waiting.side(sending).pop_front()
            {
                here.claim_and_wake(waiter, Wake::Closed);
            }
        }
    }

    #[inline(always)]
    pub(super) fn send(&self, value: T, limit: WaitLimit) -> Result<(), SendError<T>> {
        let slot = UnsafeCell::new(Some(value));
        match self.meet(&slot, true, limit) {
            Ok(()) => Ok(()),
            Err(failure) => {
                let value = slot.into_inner().expect("a failed send keeps its value");
                Err(match failure {
                    Failure::Closed => SendError::Closed(value),
                    Failure::TimedOut => SendError::TimedOut(value),
                    Failure::Cancelled => SendError::Cancelled(value),
                    Failure::Deadlock(report) => SendError::Deadlock(value, report),
                    Failure::WouldBlock => SendError::WouldBlock(value),
                })
            }
        }
    }

    #[inline(always)]
    pub(super) fn recv(&self, limit: WaitLimit) -> Result<T, RecvError> {
        let slot = UnsafeCell::new(None);
        match self.meet(&slot, false, limit) {
            Ok(()) => Ok(slot.into_inner().expect("a receive that succeeded has its value")),
            Err(Failure::Closed) => Err(RecvError::Closed),
            Err(Failure::TimedOut) => Err(RecvError::TimedOut),
            Err(Failure::Cancelled) => Err(RecvError::Cancelled),
            Err(Failure::Deadlock(report)) => Err(RecvError::Deadlock(report)),
            Err(Failure::WouldBlock) => Err(RecvError::WouldBlock),
        }
    }

    /// Moves a value between `slot` and a partner's, now or after a wait.
    #[inline(always)]
    fn meet(
        &self,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
        limit: WaitLimit,
    ) -> Result<(), Failure> {
        let Some(here) = here() else {
            return Err(self.outside(limit));
        };
        let may_wait = match checkpoint(here) {
            Err(CannotWait::Killed) => return Err(Failure::Cancelled),
            checked => checked.is_ok() && limit != WaitLimit::None,
        };
        // The observer is called first, because it may use the channel itself.
        self.observe(here, sending);
        if let Some(partner) = self.waiting.side(!sending).pop_front() {
            self.exchange(slot, partner, sending);
            self.hand_over(here, partner, sending, may_wait);
            return Ok(());
        }
        if self.closing.get() {
            return Err(Failure::Closed);
        }
        if !may_wait {
            return Err(Failure::WouldBlock);
        }
        self.wait(here, slot, sending, limit)
    }

    /// Tells whether an alternative of a select can happen now.
    pub(super) fn is_ready(&self, sending: bool) -> bool {
        self.has_partner(sending) || self.closing.get()
    }

    /// Completes such an alternative, which is ready.
    pub(super) fn complete(
        &self,
        here: Option<Here>,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
        may_switch: bool,
    ) -> Wake {
        let Some(here) = here else { return Wake::Closed };
        match self.waiting.side(!sending).pop_front() {
            Some(partner) => {
                self.exchange(slot, partner, sending);
                self.hand_over(here, partner, sending, may_switch);
                Wake::Done
            }
            None => Wake::Closed,
        }
    }

    /// Registers an alternative of a select for a partner.
    pub(super) fn register(
        &self,
        alternative: &Alternative,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
    ) {
        alternative.node.slot.set(slot.get().cast());
        self.waiting.side(sending).push_back(alternative.as_node());
        alternative
            .registration
            .set(Registration::Channel { queue: NonNull::from(&self.waiting), sending });
    }

    /// Tells whether a tasklet of the other side waits.
    #[inline(always)]
    fn has_partner(&self, sending: bool) -> bool {
        self.waiting.side(!sending).front().is_some()
    }

    /// Moves the value between the caller's slot and its partner's.
    #[inline(always)]
    fn exchange(&self, slot: &UnsafeCell<Option<T>>, partner: WaitNodePtr, sending: bool) {
        // SAFETY: a node in a queue belongs to a waiting tasklet, so it lives.
        let theirs = unsafe { partner.as_ref() }.slot.get().cast::<Option<T>>();
        // SAFETY: the partner was in this channel's queue, so its slot is an `Option<T>` that its
        // frame keeps (module comment). Both tasklets are suspended or here, so nothing else refers
        // to either slot.
        let (mine, theirs) = unsafe { (&mut *slot.get(), &mut *theirs) };
        if sending {
            *theirs = mine.take();
        } else {
            *mine = theirs.take();
        }
    }

    /// Makes the partner ready, in the order that the handover says.
    #[inline(always)]
    fn hand_over(&self, here: Here, partner: WaitNodePtr, sending: bool, may_switch: bool) {
        let partner = here.claim(partner, Wake::Done);
        let prefers_partner = match self.handover.get() {
            Handover::Receiver => sending,
            Handover::Sender => !sending,
            Handover::Neither | Handover::Yield => false,
        };
        let mut yields = self.handover.get() == Handover::Yield && may_switch;
        if let Some(partner) = partner {
            here.unpark(partner, Wake::Done);
            if prefers_partner && may_switch {
                here.push_ready_first(partner);
                yields = true;
            } else {
                here.push_ready(partner);
            }
        }
        if yields {
            let me = here.me();
            me.state.set(State::Ready);
            here.push_ready(here.me_ptr());
            suspend(here, me);
        }
    }

    /// Waits in the queue for a partner.
    #[inline(always)]
    fn wait(
        &self,
        here: Here,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
        limit: WaitLimit,
    ) -> Result<(), Failure> {
        let me = here.me();
        let own = if let WaitLimit::Until(until) = limit { until } else { NEVER };
        me.node.slot.set(slot.get().cast());
        self.waiting.side(sending).push_back(node_of(here.me_ptr()));
        let waiting = Waiting::Channel { queue: NonNull::from(&self.waiting), sending };
        match park(here, waiting, own.min(me.deadline.get())) {
            Wake::Done => Ok(()),
            Wake::Closed => Err(Failure::Closed),
            Wake::TimedOut => Err(Failure::TimedOut),
            Wake::Deadlock => Err(Failure::Deadlock(take_deadlock_report(here))),
            Wake::Killed => {
                deliver_kill(here);
                Err(Failure::Cancelled)
            }
        }
    }

    /// Returns the failure outside a scheduler, where no tasklet waits in the queue, and none ever
    /// will.
    #[cold]
    fn outside(&self, limit: WaitLimit) -> Failure {
        match limit {
            _ if self.closing.get() => Failure::Closed,
            WaitLimit::None => Failure::WouldBlock,
            WaitLimit::Forever | WaitLimit::Until(_) => {
                Failure::Deadlock(DeadlockReport::new(Vec::new(), 0))
            }
        }
    }

    #[inline(always)]
    pub(super) fn observe(&self, here: Here, sending: bool) {
        if here.is_observed() {
            let will_block = !self.has_partner(sending);
            let channel = (&raw const self.waiting).addr();
            let tasklet = here.me().id;
            let event = ChannelEvent { channel, tasklet, sending, will_block };
            here.observe(|observer| observer.channel(event));
        }
    }
}
