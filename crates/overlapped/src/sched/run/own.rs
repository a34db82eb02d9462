//! Tasklets with thread-locals of their own: onto the block and off it. See `locals`.

use std::ptr::NonNull;

use super::super::hub::Occupied;
use super::super::witness::shown;
use super::super::{CURRENT, Here, Locals, Sched, Tcb, TcbPtr};
use super::ended_in_a_child;
use crate::switch::Suspender;
use crate::sys::signal::sigpipe;

/// The library's own thread-locals, as code on a tasklet's stack finds it.
struct Kept {
    current: Here,
    shown: Option<NonNull<Sched>>,
    holds_off_sigpipe: bool,
}

impl Kept {
    /// Copies the thread's own.
    fn of_thread(here: Here) -> Kept {
        Kept { current: here, shown: shown(), holds_off_sigpipe: sigpipe::is_held_off() }
    }

    /// Puts it where the caller's thread-locals are.
    fn put(&self) {
        CURRENT.set(Some(NonNull::from(&*self.current)));
        super::super::witness::show(self.shown);
        sigpipe::inherit(self.holds_off_sigpipe);
        std::mem::forget(Occupied::begin());
    }
}

/// Runs a tasklet on thread-locals of its own, from its first instruction to its last.
#[cold]
#[inline(never)]
pub(super) fn run_on_block(here: Here, tcb: TcbPtr) {
    let tasklet = here.block(tcb);
    let kept = Kept::of_thread(here);
    // The suspender stands at the top of the stack, above the first frame.
    let stack = tasklet.guard.get().end..tasklet.suspender.get().addr();
    let block = here.blocks.borrow_mut().take(stack);
    // SAFETY: this is the thread's own block, and the other one has been made this thread's. What
    // runs there does not unwind. It leaves the stack by `depart` alone.
    unsafe {
        block.run(|| {
            kept.put();
            tasklet.locals.set(Locals::Own);
            (tasklet.vtable.run)(tcb);
            tasklet.locals.set(Locals::Threads);
            if CURRENT.get().is_none() {
                ended_in_a_child(); // Where glibc has given the thread's own block away.
            }
        });
    }
    here.blocks.borrow_mut().give(block);
}

impl Here {
    /// Leaves the calling tasklet's stack ([`Sched::leave_stack`]), and keeps its errno.
    #[inline(always)]
    pub(crate) fn depart(self, me: &Tcb, suspender: &Suspender) {
        if me.locals.get() == Locals::Own {
            self.depart_from_block(me, suspender);
        } else {
            self.keep_errno(|| self.leave_stack(me, suspender));
        }
    }

    /// Goes back to the hub, which came only for a backtrace, and keeps errno.
    pub(crate) fn await_visit(self, me: &Tcb, suspender: &Suspender) {
        if me.locals.get() == Locals::Own {
            // SAFETY: this is its scheduler's thread, and neither leaving nor coming back unwinds.
            unsafe { self.home.at_home(|| suspender.suspend()) };
        } else {
            self.keep_errno(|| suspender.suspend());
        }
    }

    /// Leaves the stack of a tasklet with a block: others find the thread's own thread-locals,
    /// errno among them, until it comes back.
    #[inline(never)]
    fn depart_from_block(self, me: &Tcb, suspender: &Suspender) {
        let leave = || self.leave_stack(me, suspender);
        let next = self.next_in_turn().map(|next| self.block(next).locals.get());
        // SAFETY: this is its scheduler's thread, and neither leaving nor coming back unwinds. The
        // next one, with a block of its own, has begun and sets the pointer when it comes back
        // from where it left; nothing else runs before. Setting it takes longer than the switch.
        unsafe {
            match next {
                Some(Locals::Own) => self.home.past_home(leave),
                _ => self.home.at_home(leave),
            }
        }
    }
}
