//! The scheduler of the calling tasklet.

use std::cell::Cell;
use std::ops::Deref;
use std::ptr::NonNull;

use super::{Sched, Tcb, TcbPtr};

thread_local! {
    /// The scheduler whose tasklet runs on this thread.
    static CURRENT: Cell<Option<NonNull<Sched>>> = const { Cell::new(None) };
}

/// The scheduler that the calling tasklet belongs to.
///
/// It exists only in code that runs on a tasklet's stack. The scheduler stays until the last of its
/// tasklets has ended or will never run again, so it is there whenever such code runs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Here(NonNull<Sched>);

impl Deref for Here {
    type Target = Sched;

    #[inline]
    fn deref(&self) -> &Sched {
        // SAFETY: the type's comment says why the scheduler is there.
        unsafe { self.0.as_ref() }
    }
}

/// Returns the scheduler of the calling tasklet, if the caller is one.
#[inline]
pub(crate) fn here() -> Option<Here> {
    CURRENT.with(Cell::get).map(Here)
}

/// Sets the scheduler whose tasklet runs on this thread from now on.
#[inline(always)]
pub(super) fn set_current(sched: NonNull<Sched>) {
    CURRENT.with(|current| current.set(Some(sched)));
}

/// Returns the scheduler of the calling tasklet, and forgets it: no tasklet runs from now on.
#[inline(always)]
pub(super) fn take_current() -> Option<Here> {
    CURRENT.take().map(Here)
}

impl Here {
    /// Calls `f` and puts errno back. errno has hardly ever changed, so it is read first: that
    /// costs 0.2 to 1.1 ns a switch, while always writing it costs 1.5 to 2.
    #[inline(always)]
    pub(crate) fn preserve_errno(&self, f: impl FnOnce()) {
        if cfg!(miri) {
            return f(); // Each fiber is a thread with an errno of its own.
        }
        let place = self.errno;
        // SAFETY: the place belongs to this thread, which has made the scheduler and runs it, and
        // it stays as long as the thread. No reference to it exists.
        let before = unsafe { place.read() };
        f();
        // SAFETY: as above; a tasklet does not change its thread.
        unsafe {
            if place.read() != before {
                place.write(before);
            }
        }
    }

    /// Returns the calling tasklet.
    #[inline]
    pub(crate) fn me(&self) -> &Tcb {
        let running = self.running.get();
        // SAFETY: code that has a `Here` runs in a tasklet, which `running` names and which lives.
        unsafe { running.unwrap_unchecked().as_ref() }
    }

    /// Returns the calling tasklet, as a pointer to its whole allocation.
    #[inline]
    pub(crate) fn me_ptr(&self) -> TcbPtr {
        // SAFETY: as in `me`.
        unsafe { self.running.get().unwrap_unchecked() }
    }
}
