//! The one place at which a tasklet leaves its stack.

use crate::sched::{DeadlockReport, Here, State, Tcb, Waiting, Wake};
use crate::switch::Suspender;

/// Parks the calling tasklet until it is woken, or until the port's clock shows `until`. The caller
/// has passed the [`checkpoint`](super::checkpoint), and has linked the tasklet to what wakes it.
#[inline(always)]
pub(crate) fn park(here: Here, waiting: Waiting, until: u64) -> Wake {
    let me = here.me();
    here.begin_wait(me, here.me_ptr(), waiting, until);
    suspend(here, me);
    me.wake.get()
}

/// Lets all other ready tasklets run first.
#[inline(always)]
pub(in crate::task) fn yield_turn(here: Here) {
    let me = here.me();
    me.state.set(State::Ready);
    here.push_ready(here.me_ptr());
    suspend(here, me);
}

/// Leaves the stack; the caller has recorded in the control block what the tasklet waits for.
/// Returns when the tasklet runs on. If the hub switches here only for a backtrace, makes it, and
/// the wait goes on. errno belongs to the thread, so it is saved here for C code that reads it
/// after a callback that waited.
#[inline(always)]
pub(crate) fn suspend(here: Here, me: &Tcb) {
    // SAFETY: the suspender was set when this tasklet's job began on this fiber, and lives on it.
    let suspender = unsafe { &*me.suspender.get() };
    let running = here.me_ptr();
    here.depart(me, suspender);
    if me.state.get() != State::Running {
        answer_visits(here, me, suspender);
    }
    // Set after the switch, so that a fault during it is attributed to the stack on which it
    // happened.
    here.set_running(running);
    here.observe_switch();
}

/// Answers the hub, which has switched here for a backtrace only, perhaps several times.
#[cold]
#[inline(never)]
fn answer_visits(here: Here, me: &Tcb, suspender: &Suspender) {
    while me.state.get() != State::Running {
        me.record_trace();
        here.await_visit(me, suspender);
    }
}

/// Takes the deadlock report that came with `Wake::Deadlock`.
pub(crate) fn take_deadlock_report(here: Here) -> DeadlockReport {
    let report = here.me().extra(|extra| extra?.deadlock_report.take());
    report.expect("a deadlock's wake comes with its report")
}
