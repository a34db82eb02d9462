//! The meeting: from one stack to the other.
//!
//! The slot of a waiter's seat points to an `Option<T>`: empty for a receiver, full for a sender.
//! Its partner fills or empties it and wakes the waiter. The waiter's frame stays until the seat
//! has been taken out of the queue, by a partner or by whoever cuts its wait short, so the pointer
//! is good for as long as the seat is in the queue. Only sends and receives of one `Core<T>` put
//! seats into its queues, so the pointer is to an `Option<T>` of that very `T`.

use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ptr::NonNull;

use super::{Handover, RecvError, SendError};
use crate::sched::{
    Alternative, ChannelEvent, Here, NEVER, Place, SeatPtr, State, Verdict, WaitQueue, Waiting,
    Wake, here, seat_of,
};
use crate::task::wait::{checkpoint, deliver_kill, leave, park};
use crate::task::{Refusal, take_verdict};

/// How long a call may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Not at all, and no switch either.
    None,
    /// As long as it takes.
    Forever,
    /// Until then, on the port's clock.
    Until(u64),
}

/// What the handles of a channel share.
pub(super) struct Core<T> {
    waiting: WaitQueue,
    handover: Cell<Handover>,
    closing: Cell<bool>,
    /// Values go in and come out, so `T` must be invariant: `&'static str` sent for, `&'a str` sent
    /// would be a dangling reference.
    values: PhantomData<Cell<T>>,
}

/// Why a waiter has nothing to show.
enum Failure {
    Closed,
    TimedOut,
    Cancelled,
    Deadlock(Verdict),
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
                here.grant(waiter, Wake::Closed);
            }
        }
    }

    #[inline(always)]
    pub(super) fn send(&self, value: T, patience: Patience) -> Result<(), SendError<T>> {
        let slot = UnsafeCell::new(Some(value));
        match self.meet(&slot, true, patience) {
            Ok(()) => Ok(()),
            Err(failure) => {
                let value = slot.into_inner().expect("a failed send keeps its value");
                Err(match failure {
                    Failure::Closed => SendError::Closed(value),
                    Failure::TimedOut => SendError::TimedOut(value),
                    Failure::Cancelled => SendError::Cancelled(value),
                    Failure::Deadlock(verdict) => SendError::Deadlock(value, verdict),
                    Failure::WouldBlock => SendError::WouldBlock(value),
                })
            }
        }
    }

    #[inline(always)]
    pub(super) fn recv(&self, patience: Patience) -> Result<T, RecvError> {
        let slot = UnsafeCell::new(None);
        match self.meet(&slot, false, patience) {
            Ok(()) => Ok(slot.into_inner().expect("a receive that succeeded has its value")),
            Err(Failure::Closed) => Err(RecvError::Closed),
            Err(Failure::TimedOut) => Err(RecvError::TimedOut),
            Err(Failure::Cancelled) => Err(RecvError::Cancelled),
            Err(Failure::Deadlock(verdict)) => Err(RecvError::Deadlock(verdict)),
            Err(Failure::WouldBlock) => Err(RecvError::WouldBlock),
        }
    }

    /// Moves a value between `slot` and a partner's, now or after a wait.
    #[inline(always)]
    fn meet(
        &self,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
        patience: Patience,
    ) -> Result<(), Failure> {
        let Some(here) = here() else {
            return Err(self.outside(patience));
        };
        let may_wait = match checkpoint(here) {
            Err(Refusal::Killed) => return Err(Failure::Cancelled),
            checked => checked.is_ok() && patience != Patience::None,
        };
        // First, because the observer may use the channel itself.
        self.tell(here, sending);
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
        self.wait(here, slot, sending, patience)
    }

    /// Whether an alternative of a select can happen at once.
    pub(super) fn is_ready(&self, sending: bool) -> bool {
        self.has_partner(sending) || self.closing.get()
    }

    /// Makes such an alternative happen, which is ready.
    pub(super) fn seize(
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

    /// Has an alternative of a select wait for a partner.
    pub(super) fn sit(
        &self,
        alternative: &Alternative,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
    ) {
        alternative.seat.slot.set(slot.get().cast());
        self.waiting.side(sending).push_back(alternative.as_seat());
        alternative.place.set(Place::Channel { queue: NonNull::from(&self.waiting), sending });
    }

    /// Whether somebody of the other side waits.
    #[inline(always)]
    fn has_partner(&self, sending: bool) -> bool {
        self.waiting.side(!sending).front().is_some()
    }

    /// Moves the value between the caller's slot and its partner's.
    #[inline(always)]
    fn exchange(&self, slot: &UnsafeCell<Option<T>>, partner: SeatPtr, sending: bool) {
        // SAFETY: whoever sits in a queue lives, and its seat with it.
        let theirs = unsafe { partner.as_ref() }.slot.get().cast::<Option<T>>();
        // SAFETY: the partner was in this channel's queue, so its slot is an `Option<T>` that its
        // frame keeps (module comment). Both tasklets are suspended or here: nobody else looks at
        // either.
        let (mine, theirs) = unsafe { (&mut *slot.get(), &mut *theirs) };
        if sending {
            *theirs = mine.take();
        } else {
            *mine = theirs.take();
        }
    }

    /// Makes the partner ready, in the order that the handover says.
    #[inline(always)]
    fn hand_over(&self, here: Here, partner: SeatPtr, sending: bool, may_switch: bool) {
        let partner = here.claim(partner, Wake::Done);
        let prefers_partner = match self.handover.get() {
            Handover::Receiver => sending,
            Handover::Sender => !sending,
            Handover::Neither | Handover::Yield => false,
        };
        let mut gives_way = self.handover.get() == Handover::Yield && may_switch;
        if let Some(partner) = partner {
            here.unpark(partner, Wake::Done);
            if prefers_partner && may_switch {
                here.ready.push_front(partner);
                gives_way = true;
            } else {
                here.ready.push_back(partner);
            }
        }
        if gives_way {
            let me = here.me();
            me.state.set(State::Ready);
            here.ready.push_back(here.me_ptr());
            leave(here, me);
        }
    }

    /// Waits in the queue for a partner.
    #[inline(always)]
    fn wait(
        &self,
        here: Here,
        slot: &UnsafeCell<Option<T>>,
        sending: bool,
        patience: Patience,
    ) -> Result<(), Failure> {
        let me = here.me();
        let own = if let Patience::Until(until) = patience { until } else { NEVER };
        me.seat.slot.set(slot.get().cast());
        self.waiting.side(sending).push_back(seat_of(here.me_ptr()));
        let waiting = Waiting::Channel { queue: NonNull::from(&self.waiting), sending };
        match park(here, waiting, own.min(me.deadline.get())) {
            Wake::Done => Ok(()),
            Wake::Closed => Err(Failure::Closed),
            Wake::TimedOut => Err(Failure::TimedOut),
            Wake::Deadlock => Err(Failure::Deadlock(take_verdict(here))),
            Wake::Killed => {
                deliver_kill(here);
                Err(Failure::Cancelled)
            }
        }
    }

    /// Outside a scheduler nobody waits in the queue, and nobody ever will.
    #[cold]
    fn outside(&self, patience: Patience) -> Failure {
        match patience {
            _ if self.closing.get() => Failure::Closed,
            Patience::None => Failure::WouldBlock,
            Patience::Forever | Patience::Until(_) => {
                Failure::Deadlock(Verdict::new(Vec::new(), 0))
            }
        }
    }

    #[inline(always)]
    pub(super) fn tell(&self, here: Here, sending: bool) {
        if here.observer.is_some() {
            let will_block = !self.has_partner(sending);
            let channel = (&raw const self.waiting).addr();
            let tasklet = here.me().id;
            let event = ChannelEvent { channel, tasklet, sending, will_block };
            here.tell(|observer| observer.channel(event));
        }
    }
}
