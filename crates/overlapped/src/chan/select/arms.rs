//! The alternatives of a select, each with its closure.

use std::cell::UnsafeCell;

use crate::chan::transfer::Core;
use crate::chan::{RecvError, SendError};
use crate::sched::{Alternative, Here, SelectState, Wake};
use crate::task::select::{Joining, SelectSource};
use crate::task::{JoinError, Joinable};

/// An alternative whose closure returns an `R`.
pub(super) trait Arm<R>: SelectSource {
    /// Calls the closure with the result, after the alternative has happened.
    fn finish(self: Box<Self>, wake: Wake) -> R;
}

/// A receive.
pub(super) struct Recv<'a, T, F> {
    alternative: Alternative,
    core: &'a Core<T>,
    slot: UnsafeCell<Option<T>>,
    f: F,
}

impl<'a, T, F> Recv<'a, T, F> {
    pub(super) fn new(core: &'a Core<T>, f: F) -> Recv<'a, T, F> {
        Recv { alternative: Alternative::new(), core, slot: UnsafeCell::new(None), f }
    }
}

impl<T, F> SelectSource for Recv<'_, T, F> {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_ready(&self, _: u64) -> bool {
        self.core.is_ready(false)
    }

    fn observe(&self, here: Here) {
        self.core.observe(here, false);
    }

    fn complete(&self, here: Option<Here>, may_switch: bool) -> Wake {
        self.core.complete(here, &self.slot, false, may_switch)
    }

    fn register(&self, _: Here, _: &SelectState) -> bool {
        self.core.register(&self.alternative, &self.slot, false);
        false
    }
}

impl<R, T, F: FnOnce(Result<T, RecvError>) -> R> Arm<R> for Recv<'_, T, F> {
    fn finish(self: Box<Self>, wake: Wake) -> R {
        let Recv { slot, f, .. } = *self;
        f(match slot.into_inner() {
            Some(value) => Ok(value),
            None => {
                debug_assert_eq!(wake, Wake::Closed);
                Err(RecvError::Closed)
            }
        })
    }
}

/// A send.
pub(super) struct Send<'a, T, F> {
    alternative: Alternative,
    core: &'a Core<T>,
    slot: &'a UnsafeCell<Option<T>>,
    active: bool,
    f: F,
}

impl<'a, T, F> Send<'a, T, F> {
    pub(super) fn new(core: &'a Core<T>, value: &'a mut Option<T>, f: F) -> Send<'a, T, F> {
        let active = value.is_some();
        let slot = UnsafeCell::from_mut(value);
        Send { alternative: Alternative::new(), core, slot, active, f }
    }
}

impl<T, F> SelectSource for Send<'_, T, F> {
    fn alternative(&self) -> &Alternative {
        &self.alternative
    }

    fn is_active(&self) -> bool {
        self.active
    }

    fn is_ready(&self, _: u64) -> bool {
        self.core.is_ready(true)
    }

    fn observe(&self, here: Here) {
        self.core.observe(here, true);
    }

    fn complete(&self, here: Option<Here>, may_switch: bool) -> Wake {
        self.core.complete(here, self.slot, true, may_switch)
    }

    fn register(&self, _: Here, _: &SelectState) -> bool {
        self.core.register(&self.alternative, self.slot, true);
        false
    }
}

impl<R, T, F: FnOnce(Result<(), SendError<T>>) -> R> Arm<R> for Send<'_, T, F> {
    fn finish(self: Box<Self>, wake: Wake) -> R {
        debug_assert!(matches!(wake, Wake::Done | Wake::Closed));
        // SAFETY: the cell was made of a unique reference, and no node in the channel points to it
        // any more.
        let left = unsafe { (*self.slot.get()).take() };
        (self.f)(left.map_or(Ok(()), |value| Err(SendError::Closed(value))))
    }
}

/// A tasklet's end.
pub(super) struct Join<'a, H, F> {
    joining: Joining,
    handle: &'a mut Option<H>,
    f: F,
}

impl<'a, H: Joinable, F> Join<'a, H, F> {
    pub(super) fn new(handle: &'a mut Option<H>, f: F) -> Join<'a, H, F> {
        let joining = Joining::new(handle.as_ref().map(H::tasklet));
        Join { joining, handle, f }
    }
}

impl<H, F> SelectSource for Join<'_, H, F> {
    fn alternative(&self) -> &Alternative {
        self.joining.alternative()
    }

    fn is_active(&self) -> bool {
        self.joining.is_active()
    }

    fn is_ready(&self, now: u64) -> bool {
        self.joining.is_ready(now)
    }

    fn register(&self, here: Here, select: &SelectState) -> bool {
        self.joining.register(here, select)
    }
}

impl<R, H: Joinable, F: FnOnce(Result<H::Output, JoinError>) -> R> Arm<R> for Join<'_, H, F> {
    fn finish(self: Box<Self>, _: Wake) -> R {
        let handle = self.handle.take().expect("a select that joins has its handle");
        (self.f)(handle.end())
    }
}

/// A source without a value: a time, a descriptor's readiness.
pub(super) struct Passive<O, F> {
    source: O,
    f: F,
}

impl<O, F> Passive<O, F> {
    pub(super) fn new<R>(source: O, f: F) -> Passive<O, F>
    where
        F: FnOnce(&O) -> R,
    {
        Passive { source, f }
    }
}

impl<O: SelectSource, F> SelectSource for Passive<O, F> {
    fn alternative(&self) -> &Alternative {
        self.source.alternative()
    }

    fn is_ready(&self, now: u64) -> bool {
        self.source.is_ready(now)
    }

    fn register(&self, here: Here, select: &SelectState) -> bool {
        self.source.register(here, select)
    }

    fn due(&self) -> u64 {
        self.source.due()
    }

    fn operation(&self) -> Option<crate::op::Op> {
        self.source.operation()
    }
}

impl<R, O: SelectSource, F: FnOnce(&O) -> R> Arm<R> for Passive<O, F> {
    fn finish(self: Box<Self>, _: Wake) -> R {
        (self.f)(&self.source)
    }
}
