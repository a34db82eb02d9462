//! Deadlock reports: whether anything can still wake a tasklet, and which tasklet gets the report
//! if nothing can.
//!
//! A report is sound, not complete. Operations in flight, timers of waits, and every live handle or
//! sending end in another thread count as something that can wake. If nothing can, the last waiter
//! whose call can return an error gets the [`DeadlockReport`]; if no call can, `run` returns it.
//!
//! | file | what it has |
//! |---|---|
//! | `report` | the report, and one line of it |
//! | `candidates` | the waiters that can get a report, kept from one report to the next |
//! | `lock_cycles` | a warning where tasklets wait for each other's locks beside others that run |

mod candidates;
mod lock_cycles;
mod lock_holder;
mod report;

pub(super) use candidates::Candidates;
pub use report::{DeadlockReport, Waiter};

use super::{NEVER, Sched, TcbPtr, Waiting, Wake};
use crate::sys::thread::count;

/// The number of candidates that are kept without a check whether they still wait.
const CANDIDATES_MIN: usize = 1_024;

/// The time between two checks for other threads, while all waits depend on them.
const CHECK_THREADS_NS: u64 = 1_000_000_000;

/// The search for anything that can still wake a tasklet.
impl Sched {
    /// Tells whether something that a tasklet waits for can still happen.
    pub(super) fn something_can_wake(&self) -> bool {
        self.table.borrow().len() > 0
            || self.timed_waits.get() > self.thread_polls.get()
            || self.inbox.handles() > 0
            || self.others_can_wake()
            || self.threads_can_wake()
    }

    /// Tells whether a thread without a scheduler could end one of the waits for such threads.
    fn threads_can_wake(&self) -> bool {
        self.thread_waits.get() > 0 && !count::are_only(self.group.len())
    }

    /// Returns when to check again whether such a thread is left, while one is.
    pub(super) fn next_thread_check(&self) -> u64 {
        match self.threads_can_wake() {
            true => self.read_clock() + CHECK_THREADS_NS,
            false => NEVER,
        }
    }

    /// Tells whether another thread could end one of the waits that are registered for that.
    fn others_can_wake(&self) -> bool {
        let waits = self.remote_waits.borrow();
        let can_wake = |tcb: &TcbPtr| match self.block(*tcb).waiting.get() {
            // SAFETY: the tasklet waits, so its frame is there, which borrows the lock.
            Waiting::Lock { holder, .. } => !unsafe { holder.as_ref() }.is_on(self),
            Waiting::Threads { .. } => false,
            _ => true,
        };
        let of_this_process = self.lock_waits.get() + self.thread_waits.get();
        waits.len() > of_this_process || waits.values().any(can_wake)
    }
}

/// The report.
impl Sched {
    /// Reports a deadlock, when nothing runs and nothing can wake a tasklet: to the last waiter
    /// whose call can return an error, else to `run`.
    pub(super) fn report_deadlock(&self) {
        if !self.reporting_deadlocks.replace(true) {
            self.after_switch_due.set(true);
            self.some_ended.set(false);
            self.candidates.borrow_mut().collect(|add| self.each(|tcb, _| add(tcb)));
        }
        let last = self.candidates.borrow_mut().pop();
        let report = self.deadlock_report_for(last);
        if let Some(tcb) = last {
            self.block(tcb).extra_or_new(|extra| extra.deadlock_report = Some(report));
            self.interrupt_wait(tcb, Wake::Deadlock);
        } else if self.ending.get() {
            // All tasklets were killed already, and still none can go on: they are shielded for
            // ever.
            self.grace_until.set(0);
        } else {
            *self.deadlock_report.borrow_mut() = Some(report);
            self.end_all();
        }
    }

    /// Returns the report for `waiter`, or for `run` if it is `None`. A report is made once: all
    /// tasklets that waited at that moment get the same one, however many got it and have ended
    /// since.
    fn deadlock_report_for(&self, waiter: Option<TcbPtr>) -> DeadlockReport {
        let parked_at = waiter.map_or_else(|| self.last_parked(), |tcb| self.parked_at(tcb));
        let mut last = self.last_report.borrow_mut();
        if let Some((made_at, report)) = &*last
            && parked_at <= *made_at
        {
            return report.clone();
        }
        let waiters = self.youngest(DeadlockReport::WAITERS_MAX);
        let report = DeadlockReport::new(waiters, self.live.get());
        *last = Some((self.order.get(), report.clone()));
        report
    }

    fn parked_at(&self, tcb: TcbPtr) -> u64 {
        self.block(tcb).parked_at.get()
    }

    /// Returns when the last living tasklet was parked.
    fn last_parked(&self) -> u64 {
        let mut last = 0;
        self.each(|tcb, _| last = last.max(self.parked_at(tcb)));
        last
    }

    /// Describes the youngest `count` tasklets, the oldest of them first.
    fn youngest(&self, count: usize) -> Vec<Waiter> {
        let mut lines = Vec::new();
        let mut at = self.all.get();
        while let Some(tcb) = at.filter(|_| lines.len() < count) {
            let block = self.block(tcb);
            at = block.all_next.get();
            lines.push(self.describe(block));
        }
        lines.reverse();
        lines
    }

    /// Adds a tasklet that has just run, during a run of reports: it may be the last waiter now.
    #[cold]
    pub(super) fn add_candidate(&self, tcb: TcbPtr) {
        let mut candidates = self.candidates.borrow_mut();
        candidates.add(tcb);
        // Most candidates have gone on. So tasklets are busy, and there may be no further report.
        if candidates.len() > 2 * self.live.get() + CANDIDATES_MIN {
            drop(candidates);
            self.end_deadlock_reports();
        }
    }

    /// Ends a run of reports: what happens from now on is not recorded.
    pub(super) fn end_deadlock_reports(&self) {
        if self.reporting_deadlocks.replace(false) {
            self.candidates.borrow_mut().clear();
        }
    }
}
