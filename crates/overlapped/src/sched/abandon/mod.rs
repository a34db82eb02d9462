//! The abandonment of tasklets that outlive the grace time of a shutdown.
//!
//! Such a tasklet is *parked for good*: it never runs again. It cannot be unwound from outside, and
//! others may hold references to its frames, so its stack, its locals and its block stay for ever.
//!
//! # The law of abandoning
//!
//! **Which tasklets are abandoned.** A tasklet that has begun, with two exceptions. The first
//! tasklet may borrow from the caller of `run`, and so may its own threads: it ends the process,
//! with a message. A tasklet that has never begun needs no more than a turn: it has been killed, so
//! it drops its closure on a stack of its own and ends. It has the grace time once more for that,
//! and [`LAST_NS`] at least. One stack beyond `stacks_max` is lent to such tasklets, one after
//! another, so that tasklets that hold the other stacks can wait for them. If such a tasklet still
//! has no stack or no end then, it is abandoned as well; if it has not begun, its closure is
//! leaked. So a shutdown has a limit whatever destructors do.
//!
//! **Steps**, in this order:
//! 1. Its operations have ended (terminal completion first).
//! 2. It is in no queue: it has left its channel, select, join, group, scope, timer, and whatever
//!    waits for a wake from another thread.
//! 3. Its cleanups have run (`cleanup.rs`): it has left the queues of locks, semaphores, condition
//!    variables, barriers, events, channels between threads, files' cursors and standard streams.
//!    Anything that it was handed there (a lock, a permit, a notification, a wake for a value) goes
//!    to the next waiter. Jobs that it waits for are asked to stop, and their results are dropped.
//! 4. All waits for its end are completed: joins from any thread, scopes, [`Remote`] handles.
//!
//! No code of the user's runs meanwhile, and nothing of the user's is dropped (the port reaps, the
//! scheduler runs).
//!
//! **Everything that its frames own stays**: a lock that it holds remains locked and a value that
//! it received is gone, as with a thread of std that waits for ever.
//!
//! **Its thread** lends thread-locals to its frames, and these may have lent them on to threads
//! (`LocalKey::with` around `std::thread::scope`). So a thread on which a tasklet was abandoned
//! never ends. At its end, before any of its locals is dropped, it is parked, too ([`end`]). The
//! end of the *process* is another matter: `exit` drops the locals of the thread that calls it,
//! whatever they were lent to, also with std alone.
//!
//! [`Remote`]: crate::task::Remote

mod cleanup;

use std::mem::ManuallyDrop;

use super::{Ending, Sched, State, TcbPtr, Waiting};
use crate::sys::thread::end;
use cleanup::clean_up;

/// The minimum time in which tasklets that have never begun drop their closures.
const LAST_NS: u64 = 1_000_000_000;

impl Sched {
    /// Abandons what is left when the grace time has ended, as the module's comment says.
    #[cold]
    pub(super) fn abandon_all(&self, main: Option<TcbPtr>) {
        if let Some(main) = main.filter(|main| !self.block(*main).is_over()) {
            if let Some(report) = &*self.deadlock_report.borrow() {
                eprintln!("overlapped: {report}");
            }
            let main = self.describe(self.block(main));
            // The tasklets were killed and wait for each other: no time has passed.
            match self.grace_until.get() {
                0 => eprintln!(
                    "overlapped: nothing can end the wait of the first tasklet, and it cannot be \
                     unwound ({main}); aborting"
                ),
                _ => eprintln!(
                    "overlapped: the first tasklet outlived the grace time ({main}); aborting"
                ),
            }
            std::process::abort();
        }
        self.end_deadlock_reports();
        self.end_operations();
        let is_second_time = self.late.replace(true);
        let mut keeps_thread = false;
        self.each(|tcb, block| {
            let has_begun = block.fiber().is_some();
            keeps_thread |= has_begun;
            if has_begun || is_second_time {
                self.abandon(tcb);
            }
        });
        if keeps_thread {
            // Nothing waits for the end of a thread that the library has started.
            end::prevent(self.member == 0);
        }
        self.retry_stack_waiters_again();
        let more = self.config.grace_ns.max(LAST_NS);
        self.grace_until.set(self.read_clock().saturating_add(more));
    }

    /// Asks all operations to end, and waits until they have.
    fn end_operations(&self) {
        self.each(|_, block| {
            match block.waiting.get() {
                Waiting::Op { token, .. } if !block.cancel_requested.replace(true) => {
                    self.driver.borrow_mut().cancel(token);
                }
                // SAFETY: the tasklet waits, so its frame is there.
                Waiting::Select(select) => self.deregister_all(unsafe { select.as_ref() }),
                _ => {}
            }
        });
        while self.table.borrow().len() > 0 {
            self.reap_completions(None);
        }
    }

    /// Parks a tasklet for good, or abandons one that has never begun. Its operations have ended.
    fn abandon(&self, tcb: TcbPtr) {
        let block = self.block(tcb);
        let seen = self.describe(block);
        match block.state.get() {
            State::Waiting => self.unlink(block, tcb),
            _ if block.waits_for_stack.get() => self.waiting_for_stack.remove(tcb),
            _ => self.ready.remove(tcb),
        }
        block.waiting.set(Waiting::Nothing);
        self.forget_deadline(block);
        block.ending.set(Ending::Abandoned);
        // SAFETY: this is the hub, so the tasklet is suspended. It is in no queue any more, and
        // whatever could wake it finds that it has ended. Its stack stays where it is, below.
        unsafe { clean_up(block) };
        self.announce_end(block);
        self.timers.borrow_mut().disarm(tcb);
        // SAFETY: this is the hub, so the fiber is not running. Nothing resumes it any more.
        if let Some(fiber) = unsafe { (*block.fiber.get()).take() } {
            // The pool keeps the slab of a stack that never comes back.
            let _ = ManuallyDrop::new(fiber);
            self.pool.borrow_mut().lose();
        }
        if let Some(tell) = block.extra(|extra| extra?.on_abandon.take()) {
            tell();
        }
        self.abandoned.borrow_mut().push(seen);
        // The scheduler's reference stays: pointers into the tasklet's stack may lead to the block.
        self.unlist(tcb);
    }
}
