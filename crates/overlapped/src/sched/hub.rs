//! The hub is the scheduler's own stack. No code of the user's runs there, and no value of the
//! user's is dropped there (the port reaps, the scheduler runs).
//!
//! A panic on the hub ends the process, a call there that waits would have no tasklet to park, and
//! a second scheduler that began there would meet tasklets of the first. Two rules prevent all
//! three.
//!
//! First, [`assert_off_hub`] is called wherever the library itself calls the user's code or drops a
//! value of the user's:
//!
//! | what | where |
//! |---|---|
//! | a tasklet's closure, or its captures where it never runs | `task/spawn/task`: `Task::run` |
//! | results and panic payloads that are not taken | [`drop_quietly`] |
//! | tasklet-local values | [`drop_locals`]; made in `task/local` |
//! | an executor's waker | `sched/cancel`: `wake_executor`; replaced in `task/future` |
//! | observers | `sched/observer`: `observe`; dropped at the end by the caller of `run` |
//! | a placed closure and its result | `task/spawn/place`: `Promise::fulfil` |
//! | a closure on its way through an inbox | moved on the hub, never called nor dropped |
//! | jobs of the pool and their results | `task/blocking`: on a thread of the pool |
//! | a select's closures | `chan/select`: by the caller, after the wait |
//! | a block's allocation | `Task::free`, on the hub, too: nothing of the user's is left in it |
//! | the tracing subscriber | before the loop begins, and after it |
//!
//! Second, [`is_occupied`] makes `run` refuse to begin on a thread that has a scheduler, whichever
//! stack the caller is on. So a thread has at most one scheduler with living tasklets. Code that is
//! handed a living tasklet's block, or meets its wait node in a queue, is therefore on that
//! scheduler's thread and may do with it what the scheduler does. Tasklets of an earlier run have
//! ended, and their blocks record that. In a child of fork(2) all tasklets have ended
//! ([`Sched::abandon_in_child`]).

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::here::take_current;
use super::{Ending, Locals, Sched, State, Tcb, Waiting, here};
use crate::foreign::quietly;
use crate::locals;

thread_local! {
    /// True while this thread has a scheduler that has begun and has not been taken apart.
    static OCCUPIED: Cell<bool> = const { Cell::new(false) };
}

/// Tells whether this thread has a scheduler, also if no tasklet runs: on the hub.
pub(crate) fn is_occupied() -> bool {
    // Under Miri a tasklet's thread is not its scheduler's.
    OCCUPIED.get() || here().is_some()
}

/// Marks this thread as one that has a scheduler, as long as it lives.
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

/// Asserts, in debug builds, that the caller is not on the hub: the user's code follows. The
/// module's comment says why.
#[inline(always)]
#[track_caller]
pub(crate) fn assert_off_hub() {
    debug_assert!(here().is_some() || !OCCUPIED.get(), "the user's code on the scheduler's stack");
}

/// Drops a value of the user's. If its destructor panics, the hook has printed that, and nothing
/// else ends; a payload that panics when it is dropped is leaked.
pub(crate) fn drop_quietly<T>(value: T) {
    assert_off_hub();
    quietly(|| drop(value));
}

/// The maximum number of rounds in which a tasklet's end drops values that destructors make anew.
const ROUNDS_MAX: usize = 8;

/// Drops the values of a tasklet that has ended, on its own stack. If destructors still make values
/// anew after a few rounds, those are leaked rather than dropped elsewhere.
#[inline]
pub(crate) fn drop_locals(me: &Tcb) {
    if me.extra(|extra| extra.is_some()) {
        drop_rounds(me);
    }
}

/// Runs the destructors of a tasklet's own thread-locals, its last act on its block. They may make
/// tasklet-local values anew, and those may make thread-locals anew.
#[cold]
pub(crate) fn end_locals(me: &Tcb) {
    for _ in 0..ROUNDS_MAX {
        assert_off_hub();
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

/// Forgets the scheduler in a child of fork(2), which has neither the ring nor a hub to return to.
/// So the child sees no scheduler, and may begin a new one. Calls of the forking tasklet block the
/// thread there; the child should end by exec or exit.
pub(super) extern "C" fn forget_scheduler() {
    if let Some(here) = take_current() {
        here.abandon_in_child();
        if here.me().locals.get() == Locals::Own {
            // SAFETY: the caller is on the tasklet's block, on the thread of its scheduler.
            unsafe { here.home.at_home(forget_at_home) };
        }
    }
    OCCUPIED.set(false);
}

/// Forgets the scheduler in the thread's own thread-locals, too, if the tasklet that forked has its
/// own.
#[inline(never)]
fn forget_at_home() {
    take_current();
    OCCUPIED.set(false);
}

/// Ends the process: a tasklet forked and came to its end in the child, where its scheduler cannot
/// go on, since the ring and the other tasklets are the parent's.
#[cold]
pub(super) fn ended_in_a_child() -> ! {
    eprintln!(
        "overlapped: a tasklet that forked has ended in the child, which should end by exec or \
         exit; aborting"
    );
    std::process::abort();
}

impl Tcb {
    /// Calls the user's `f`, an observer or a waker, which may neither wait nor be killed. If it
    /// panics, the hook has printed that, and nothing else ends.
    pub(crate) fn call_without_waiting(&self, f: impl FnOnce()) {
        assert_off_hub();
        self.no_switch.set(self.no_switch.get() + 1);
        self.shields.set(self.shields.get() + 1);
        let called = catch_unwind(AssertUnwindSafe(f));
        self.shields.set(self.shields.get() - 1);
        self.no_switch.set(self.no_switch.get() - 1);
        if let Err(payload) = called {
            std::mem::forget(payload);
        }
    }
}

impl Sched {
    /// Parks all tasklets for good, in a child of fork(2). It leaves the port alone, which is the
    /// parent's, and allocates nothing.
    fn abandon_in_child(&self) {
        self.each(|tcb, block| {
            match (block.state.get(), block.waiting.get()) {
                // SAFETY: the tasklet waits, so its frame is there.
                (State::Waiting, Waiting::Select(select)) => unsafe {
                    self.unlink_alternatives(select.as_ref());
                },
                (State::Waiting, _) => self.unlink(block, tcb),
                _ => {}
            }
            block.ending.set(Ending::Abandoned);
        });
    }
}
