//! Seats: the places in which a tasklet waits for others.
//!
//! Who waits for one thing sits in his own seat, the first field of his block. A select waits for
//! several things at once, so it brings a seat for each of its alternatives:
//!
//! ```text
//!   channel ─▶ Seat ⊂ Tcb                       a plain send or receive
//!   channel ─▶ Seat ⊂ Alternative ─▶ Choice ─▶ Tcb
//!   joined  ─▶ Seat ⊂ Alternative ───▲           one select
//!   ring    ─▶ Seat ⊂ Alternative ───┘
//! ```
//!
//! [`Choice`] and its alternatives stand in the frame of the select. Whoever makes one alternative
//! happen decides the choice: all the other seats are given up in the same step, so that nobody
//! meets them any more. Only an operation in flight cannot be given up at once (first law): it is
//! asked to end, and the select goes on when it has. Until then the choice is *decided*, and
//! nothing changes it.

use std::cell::Cell;
use std::ptr::NonNull;

use super::queue::{Linked, Links};
use super::{Tcb, TcbPtr, Wake};
use crate::op::{Outcome, Token};
use crate::sched::WaitQueue;

/// A pointer to a seat, with the provenance of the whole block or alternative that it begins.
pub(crate) type SeatPtr = NonNull<Seat>;

/// A place to wait in; the first field of whatever it belongs to.
#[repr(C)]
pub(crate) struct Seat {
    links: Links,
    /// Where a channel partner puts or finds the value: an `Option<T>`.
    pub(crate) slot: Cell<*mut ()>,
    of_select: bool,
}

// SAFETY: the links are its first field.
unsafe impl Linked for Seat {}

/// Whose seat it is.
pub(crate) enum Sitter {
    Tasklet(TcbPtr),
    Select(NonNull<Alternative>),
}

impl Seat {
    /// A tasklet's own.
    #[inline(always)]
    pub(super) fn of_tasklet() -> Seat {
        Seat { links: Links::default(), slot: Cell::new(std::ptr::null_mut()), of_select: false }
    }

    /// Whose it is.
    #[inline(always)]
    pub(crate) fn sitter(seat: SeatPtr) -> Sitter {
        // SAFETY: whoever sits somewhere lives, and so does the seat.
        if unsafe { seat.as_ref() }.of_select {
            Sitter::Select(seat.cast())
        } else {
            Sitter::Tasklet(seat.cast())
        }
    }
}

/// A tasklet's own seat.
#[inline(always)]
pub(crate) fn seat_of(tcb: TcbPtr) -> SeatPtr {
    tcb.cast()
}

/// Where somebody who hears that something has ended is noted: one at most.
pub(crate) type Bell = Cell<Option<SeatPtr>>;

/// Where an alternative waits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// Nowhere: not yet, or not any more.
    Nowhere,
    /// In a channel.
    Channel { queue: NonNull<WaitQueue>, sending: bool },
    /// For another tasklet's end.
    Join(TcbPtr),
    /// For an operation's completion.
    Op { token: Token, name: &'static str, fd: i32 },
}

/// One alternative of a select.
#[repr(C)]
pub(crate) struct Alternative {
    pub(crate) seat: Seat,
    pub(crate) place: Cell<Place>,
    /// What its operation returned.
    pub(crate) outcome: Cell<Outcome>,
    choice: Cell<Option<NonNull<Choice>>>,
    next: Cell<Option<NonNull<Alternative>>>,
}

impl Alternative {
    pub(crate) fn new() -> Alternative {
        Alternative {
            seat: Seat {
                links: Links::default(),
                slot: Cell::new(std::ptr::null_mut()),
                of_select: true,
            },
            place: Cell::new(Place::Nowhere),
            outcome: Cell::new(Outcome::DONE),
            choice: Cell::new(None),
            next: Cell::new(None),
        }
    }

    /// Its seat, to sit down in.
    pub(crate) fn as_seat(&self) -> SeatPtr {
        NonNull::from(self).cast()
    }

    /// The choice that it belongs to.
    pub(crate) fn choice(&self) -> &Choice {
        match self.choice.get() {
            // SAFETY: an alternative that sits somewhere belongs to a choice, whose frame stays
            // until all of them have left.
            Some(choice) => unsafe { choice.as_ref() },
            None => unreachable!("an alternative that sits somewhere belongs to a choice"),
        }
    }
}

/// What one select waits for, while it does.
pub(crate) struct Choice {
    pub(crate) owner: TcbPtr,
    first: Cell<Option<NonNull<Alternative>>>,
    /// The alternative that happened; none where the wait ended otherwise.
    pub(crate) happened: Cell<Option<NonNull<Alternative>>>,
    /// Decided, and why: it goes on with that when the last of its operations has ended.
    pub(crate) decided: Cell<Option<Wake>>,
    /// Operations whose completions are due.
    pub(crate) in_flight: Cell<usize>,
}

impl Choice {
    pub(crate) fn new(owner: TcbPtr) -> Choice {
        Choice {
            owner,
            first: Cell::new(None),
            happened: Cell::new(None),
            decided: Cell::new(None),
            in_flight: Cell::new(0),
        }
    }

    /// Takes in an alternative, before it sits down anywhere.
    ///
    /// # Safety
    /// Neither moves nor goes, nor is it borrowed uniquely, before the choice is gone.
    pub(crate) unsafe fn add(&self, alternative: &Alternative) {
        alternative.choice.set(Some(NonNull::from(self)));
        alternative.next.set(self.first.replace(Some(NonNull::from(alternative))));
    }

    /// Its alternatives, the last one first.
    pub(crate) fn each(&self, mut f: impl FnMut(&Alternative)) {
        let mut at = self.first.get();
        while let Some(alternative) = at {
            // SAFETY: see `add`.
            let alternative = unsafe { alternative.as_ref() };
            at = alternative.next.get();
            f(alternative);
        }
    }
}

// SAFETY: a seat is a block's first field, and the links are a seat's.
unsafe impl Linked for Tcb {}
