//! Who can be told of a deadlock, kept for a run of verdicts.
//!
//! A verdict goes to the last waiter whose call can return an error. Often the next verdict follows
//! at once: whoever was told ends, and the others still wait. So everybody is looked at once, and
//! as long as no port and no thread has had a part, only those who park meanwhile are added: they
//! are the last ones by then. A thousand verdicts cost one walk, not a thousand.

use super::{State, Tcb, TcbPtr, release, retain};

/// By the order of parking, each with a reference of its own. Whoever has gone on since is still in
/// it, and is passed over.
#[derive(Default)]
pub(in crate::sched) struct Candidates {
    waiters: Vec<(u64, TcbPtr)>,
}

impl Candidates {
    /// Begins a run of verdicts: with everybody who waits now.
    pub(in crate::sched) fn collect(&mut self, each: impl FnOnce(&mut dyn FnMut(TcbPtr))) {
        each(&mut |tcb| self.add(tcb));
        self.waiters.sort_unstable_by_key(|&(parked_at, _)| parked_at);
    }

    /// Adds one that lives, if it waits in a call that can fail.
    pub(in crate::sched) fn add(&mut self, tcb: TcbPtr) {
        // SAFETY: the caller's promise.
        let block = unsafe { tcb.as_ref() };
        if can_be_told(block) {
            retain(tcb);
            self.waiters.push((block.parked_at.get(), tcb));
        }
    }

    /// The last one that still waits; it lives.
    pub(in crate::sched) fn pop(&mut self) -> Option<TcbPtr> {
        while let Some((parked_at, tcb)) = self.waiters.pop() {
            // SAFETY: its reference keeps the block there.
            let block = unsafe { tcb.as_ref() };
            let waits = can_be_told(block) && block.parked_at.get() == parked_at;
            // SAFETY: the reference taken in `add`. One that waits lives by the scheduler's.
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
            // SAFETY: the reference taken in `add`.
            unsafe { release(tcb) };
        }
    }
}

fn can_be_told(block: &Tcb) -> bool {
    block.state.get() == State::Waiting && block.waiting.get().can_fail()
}
