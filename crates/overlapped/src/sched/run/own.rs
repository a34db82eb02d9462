//! Tasklets with thread-locals of their own: the way onto their block and off it. `locals` has the
//! blocks.

use std::ptr::NonNull;

use super::super::here::set_current;
use super::super::hub::{Occupied, ended_in_a_child};
use super::super::observer::shown;
use super::super::{Here, Locals, Sched, Tcb, TcbPtr, here};
use crate::switch::Suspender;
use crate::sys::signal::sigpipe;

/// The values of this library's thread-locals that code on a tasklet's stack relies on.
struct CrateLocals {
    current: Here,
    shown: Option<NonNull<Sched>>,
    holds_off_sigpipe: bool,
}

impl CrateLocals {
    /// Reads the values of the thread's own block.
    fn capture(here: Here) -> CrateLocals {
        CrateLocals { current: here, shown: shown(), holds_off_sigpipe: sigpipe::is_blocked() }
    }

    /// Sets these values in the block that the caller is on.
    fn install(&self) {
        set_current(NonNull::from(&*self.current));
        super::super::observer::show(self.shown);
        sigpipe::inherit(self.holds_off_sigpipe);
        std::mem::forget(Occupied::begin());
    }
}

/// Runs a tasklet on thread-locals of its own, from its first instruction to its last.
#[cold]
#[inline(never)]
pub(super) fn run_on_block(sched: Here, tcb: TcbPtr) {
    let tasklet = sched.block(tcb);
    let crate_locals = CrateLocals::capture(sched);
    // The suspender lies at the top of the stack, above the first frame.
    let stack = tasklet.guard.get().end..tasklet.suspender.get().addr();
    let block = sched.blocks.borrow_mut().take(stack);
    // SAFETY: this is the thread's own block, and the other one has been made for this thread. The
    // code that runs there does not unwind, and leaves the stack by `depart` alone.
    unsafe {
        block.run(|| {
            crate_locals.install();
            tasklet.locals.set(Locals::Own);
            (tasklet.vtable.run)(tcb);
            tasklet.locals.set(Locals::Threads);
            if here().is_none() {
                // In a child of fork(2), glibc has given the thread's own block away.
                ended_in_a_child();
            }
        });
    }
    sched.blocks.borrow_mut().give(block);
}

impl Here {
    /// Leaves the calling tasklet's stack ([`Sched::leave_stack`]), and preserves its errno.
    #[inline(always)]
    pub(crate) fn depart(self, me: &Tcb, suspender: &Suspender) {
        if me.locals.get() == Locals::Own {
            self.depart_from_block(me, suspender);
        } else {
            self.preserve_errno(|| self.leave_stack(me, suspender));
        }
    }

    /// Returns to the hub, which switched here only for a backtrace, and preserves errno.
    pub(crate) fn await_visit(self, me: &Tcb, suspender: &Suspender) {
        if me.locals.get() == Locals::Own {
            // SAFETY: this is its scheduler's thread, and neither leaving nor coming back unwinds.
            unsafe { self.home.at_home(|| suspender.suspend()) };
        } else {
            self.preserve_errno(|| suspender.suspend());
        }
    }

    /// Leaves the stack of a tasklet with a block. Until it comes back, others find the thread's
    /// own thread-locals, errno among them.
    #[inline(never)]
    fn depart_from_block(self, me: &Tcb, suspender: &Suspender) {
        let leave = || self.leave_stack(me, suspender);
        let next = self.next_in_turn().map(|next| self.block(next).locals.get());
        // SAFETY: this is its scheduler's thread, and neither leaving nor coming back unwinds. If
        // the next tasklet has a block of its own, it sets the pointer when it comes back, before
        // any other code runs. Setting the pointer takes longer than the switch.
        unsafe {
            match next {
                Some(Locals::Own) => self.home.past_home(leave),
                _ => self.home.at_home(leave),
            }
        }
    }
}
