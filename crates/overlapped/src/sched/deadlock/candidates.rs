//! The waiters that can get a deadlock report, kept for a series of reports.
//!
//! A report goes to the last waiter whose call can return an error. Often the next report follows
//! at once: the tasklet that got the report ends, and the others still wait. So all tasklets are
//! examined once, and as long as neither the port nor another thread wakes one, only tasklets that
//! park meanwhile are added, in the order of parking. A thousand reports cost one walk, not a
//! thousand.

use crate::sched::{State, Tcb, TcbPtr, release, retain};

/// The candidates in the order of parking, each with a reference of its own. A tasklet that has
/// gone on since is still in the list, and is skipped.
#[derive(Default)]
pub(in crate::sched) struct Candidates {
    waiters: Vec<(u64, TcbPtr)>,
}

impl Candidates {
    /// Begins a run of reports, with all tasklets that wait now.
    pub(in crate::sched) fn collect(&mut self, each: impl FnOnce(&mut dyn FnMut(TcbPtr))) {
        each(&mut |tcb| self.add(tcb));
        self.waiters.sort_unstable_by_key(|&(parked_at, _)| parked_at);
    }

    /// Adds a living tasklet, if it waits in a call that can fail.
    pub(in crate::sched) fn add(&mut self, tcb: TcbPtr) {
        // SAFETY: the caller gives a living tasklet.
        let block = unsafe { tcb.as_ref() };
        if can_get_a_report(block) {
            retain(tcb);
            self.waiters.push((block.parked_at.get(), tcb));
        }
    }

    /// Takes the last candidate that still waits. It lives.
    pub(in crate::sched) fn pop(&mut self) -> Option<TcbPtr> {
        while let Some((parked_at, tcb)) = self.waiters.pop() {
            // SAFETY: the list's reference keeps the block there.
            let block = unsafe { tcb.as_ref() };
            let waits = can_get_a_report(block) && block.parked_at.get() == parked_at;
            // SAFETY: this is the reference taken in `add`. A tasklet that waits lives by the
            // scheduler's.
            unsafe { release(tcb) };
            if waits {
                return Some(tcb);
            }
        }
        None
    }

    pub(in crate::sched) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// Ends the run.
    pub(in crate::sched) fn clear(&mut self) {
        for (_, tcb) in std::mem::take(&mut self.waiters) {
            // SAFETY: this is the reference taken in `add`.
            unsafe { release(tcb) };
        }
    }
}

fn can_get_a_report(block: &Tcb) -> bool {
    block.state.get() == State::Waiting && block.waiting.get().can_fail()
}
