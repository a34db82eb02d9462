//! The hub, which is the scheduler's own stack: no code of the user's runs there, and no value of
//! the user's is dropped there (third law).
//!
//! A panic on the hub ends the process, a call there that waits would have no tasklet to park, and
//! a second scheduler that began there would meet tasklets of the first. So, first, [`users_turn`]
//! stands wherever the library calls the user, or drops what is the user's, of its own accord:
//!
//! | what | where |
//! |---|---|
//! | a tasklet's closure, or its captures where it never runs | `task/spawn`: `Task::run` |
//! | results and panic payloads that nobody takes | [`drop_quietly`] |
//! | tasklet-local values | [`drop_locals`]; made in `task/local` |
//! | an executor's waker | `sched/cut`: `wake_executor`; replaced in `task/future` |
//! | observers | `sched/mod`: `tell`; dropped by the caller of `run`, after the last tasklet |
//! | a placed closure and its result | `task/spawn/place`: `Promise::keep` |
//! | a closure on its way through an inbox | moved on the hub, never called nor dropped |
//! | jobs of the pool and their results | `task/aside`: on a thread of the pool |
//! | a select's closures | `chan/select`: by the caller, after the wait |
//! | a block's allocation | `Task::free`, on the hub, too: nothing of the user's is left in it |
//! | the tracing subscriber | before the loop begins, and after it |
//!
//! Second, [`is_occupied`] makes `run` refuse to begin on a thread that has a scheduler, whichever
//! stack the caller is on. So a thread has one scheduler whose tasklets live, and who is handed a
//! living tasklet's block, or meets its seat in a queue, is on that scheduler's thread and may do
//! with it what the scheduler does. What was made in an earlier run is over, and says so. In a
//! child of fork(2) everybody is over ([`Sched::forsake`]).

use std::cell::Cell;

use super::{CURRENT, Ending, Here, Locals, Sched, State, Tcb, Waiting, here};
use crate::foreign::quietly;
use crate::locals;

thread_local! {
    /// A scheduler has begun on this thread, and has not been taken apart.
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether this thread has a scheduler. Also true where no tasklet runs: on the hub.
pub(crate) fn is_occupied() -> bool {
    // Under Miri a tasklet's thread is not its scheduler's.
    OCCUPIED.get() || here().is_some()
}

/// Says for as long as it lives that this thread has a scheduler.
pub(super) struct Occupied(());

impl Occupied {
    pub(super) fn begin() -> Occupied {
        OCCUPIED.set(true);
        Occupied(())
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        OCCUPIED.set(false);
    }
}

/// What follows is the user's code: it must not be on the hub. See the module's comment.
#[inline(always)]
#[track_caller]
pub(crate) fn users_turn() {
    debug_assert!(here().is_some() || !OCCUPIED.get(), "the user's code on the scheduler's stack");
}

/// Drops a value of the user's; a panic in its destructor has been printed by the panic hook and
/// goes no further, and a payload that panics when dropped is forgotten.
pub(crate) fn drop_quietly<T>(value: T) {
    users_turn();
    quietly(|| drop(value));
}

/// How often the end of a tasklet drops values that destructors have made anew.
const ROUNDS_MAX: usize = 8;

/// Drops the values of a tasklet that has ended. On its own stack: what is left after a few rounds,
/// because destructors make it anew, is forgotten rather than dropped elsewhere.
#[inline]
pub(crate) fn drop_locals(me: &Tcb) {
    if me.extra(|extra| extra.is_some()) {
        drop_rounds(me);
    }
}

/// Runs the destructors of a tasklet's own thread-locals, for a tasklet on its block: what it does
/// last. They may make tasklet-local values anew, and those thread-locals.
#[cold]
pub(crate) fn end_locals(me: &Tcb) {
    for _ in 0..ROUNDS_MAX {
        users_turn();
        locals::run_destructors();
        if !me.has_users_values() {
            return;
        }
        drop_locals(me);
    }
}

#[cold]
fn drop_rounds(me: &Tcb) {
    let take = || me.extra(|extra| extra.map(|extra| std::mem::take(&mut extra.locals)));
    for _ in 0..ROUNDS_MAX {
        match take() {
            Some(values) if !values.is_empty() => values.into_iter().for_each(drop_quietly),
            _ => return,
        }
    }
    std::mem::forget(take());
}

/// In a child of fork(2) there is neither the ring nor anybody to go back to, so it shall see no
/// scheduler, and may begin a new one. What the forking tasklet calls there blocks the thread; it
/// should end by exec or exit.
pub(super) extern "C" fn forget_scheduler() {
    if let Some(sched) = CURRENT.take() {
        let here = Here(sched);
        here.forsake();
        if here.me().locals.get() == Locals::Own {
            // SAFETY: the caller is on the tasklet's block, on the thread of its scheduler.
            unsafe { here.home.at_home(forget_at_home) };
        }
    }
    OCCUPIED.set(false);
}

/// The thread's own thread-locals say it, too, where the tasklet that forked has its own.
#[inline(never)]
fn forget_at_home() {
    CURRENT.set(None);
    OCCUPIED.set(false);
}

impl Sched {
    /// In a child of fork(2): everybody is parked for good. It leaves the port alone, which is the
    /// parent's, and allocates nothing.
    fn forsake(&self) {
        self.each(|tcb, block| {
            match (block.state.get(), block.waiting.get()) {
                // SAFETY: it waits, so its frame is there.
                (State::Waiting, Waiting::Select(choice)) => unsafe {
                    self.leave_seats(choice.as_ref());
                },
                (State::Waiting, _) => self.unlink(block, tcb),
                _ => {}
            }
            block.ending.set(Ending::Abandoned);
        });
    }
}
