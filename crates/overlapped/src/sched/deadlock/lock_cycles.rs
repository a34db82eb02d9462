//! Cycles of lock waits: each waiter holds the lock that the next one wants.
//!
//! If nothing else on the scheduler can run, that is a deadlock report. If something else can run,
//! an acceptor for example, it is a hang that looks like idleness. So the scheduler searches for
//! cycles before it sleeps, a while after a wait for a lock began, and warns once of each. It only
//! warns: a guard may have been given to a neighbour, which will release the lock.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::sched::{NEVER, Sched, TcbPtr, Waiting};
use crate::watchdog;

/// The time that all tasklets of a cycle must have waited before it is reported, and the time
/// between two searches, in nanoseconds.
const AFTER_NS: u64 = 1_000_000_000;

/// The maximum number of cycles that one scheduler reports.
const TOLD_MAX: usize = 16;

impl Sched {
    /// Searches for cycles if a search is due. Returns when the next one is.
    pub(in crate::sched) fn check_lock_cycles(&self) -> u64 {
        if self.lock_waits.get() == 0 {
            return NEVER;
        }
        let (now, at) = (self.now.get(), &self.search_cycles_at);
        if self.lock_wait_began.replace(false) && at.get() == 0 {
            at.set(now + AFTER_NS);
        }
        if (1..=now).contains(&at.get()) {
            let all_told = self.tell_cycles(now);
            at.set(if all_told { 0 } else { now + AFTER_NS });
        }
        if at.get() == 0 { NEVER } else { at.get() }
    }

    /// Reports cycles that have lasted long enough. Returns false if a younger one exists.
    #[cold]
    fn tell_cycles(&self, now: u64) -> bool {
        let mut told = self.told_cycles.borrow_mut();
        let mut all_told = true;
        for cycle in cycles(&self.awaited_holders()) {
            let least = cycle.iter().map(|tcb| self.block(*tcb).id).min().unwrap_or_default();
            let is_young = |tcb: &TcbPtr| now < self.block(*tcb).since.get() + AFTER_NS;
            if told.contains(&least) || told.len() >= TOLD_MAX {
                continue;
            }
            if cycle.iter().any(is_young) {
                all_told = false;
                continue;
            }
            told.push(least);
            let mut text = String::from(
                "these tasklets wait for each other's locks, and none of them will go on unless \
                 one has given its guard to another tasklet:",
            );
            for tcb in cycle {
                let _ = write!(text, "\n  {}", self.describe(self.block(tcb)));
            }
            // A subscriber is the user's code, which the hub does not run.
            watchdog::warn_aside(text.into());
        }
        all_told
    }

    /// Returns the tasklets that wait for a lock, each with the id of its holder on this thread.
    fn awaited_holders(&self) -> HashMap<u64, (TcbPtr, u64)> {
        let mut found = HashMap::new();
        for tcb in self.remote_waits.borrow().values() {
            let block = self.block(*tcb);
            let Waiting::Lock { holder, .. } = block.waiting.get() else { continue };
            // SAFETY: the tasklet waits, so its frame is there, which borrows the lock.
            let holder = unsafe { holder.as_ref() }.tasklet_on(self);
            if let Some(holder) = holder {
                found.insert(block.id, (*tcb, holder));
            }
        }
        found
    }
}

/// Finds the cycles in a graph in which each node has one successor at most: `id -> (node, next
/// id)`.
fn cycles<T: Copy>(nodes: &HashMap<u64, (T, u64)>) -> Vec<Vec<T>> {
    let mut found = Vec::new();
    // For each node, the walk that reached it first.
    let mut seen: HashMap<u64, u64> = HashMap::new();
    for begin in nodes.keys().copied() {
        let mut at = begin;
        while let Some((_, next)) = nodes.get(&at)
            && !seen.contains_key(&at)
        {
            seen.insert(at, begin);
            at = *next;
        }
        if seen.get(&at) == Some(&begin) && nodes.contains_key(&at) {
            let (mut cycle, first) = (Vec::new(), at);
            loop {
                let (node, next) = nodes[&at];
                cycle.push(node);
                at = next;
                if at == first {
                    break;
                }
            }
            found.push(cycle);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(edges: &[(u64, u64)]) -> Vec<Vec<u64>> {
        let nodes = edges.iter().map(|(from, to)| (*from, (*from, *to))).collect();
        let mut found = cycles(&nodes);
        found.iter_mut().for_each(|cycle| cycle.sort_unstable());
        found.sort();
        found
    }

    #[test]
    fn each_cycle_is_found_once_and_a_chain_is_no_cycle() {
        assert_eq!(found(&[]), [[]; 0]);
        assert_eq!(found(&[(1, 2), (2, 3), (3, 4)]), [[]; 0]);
        assert_eq!(found(&[(1, 2), (2, 1)]), [[1, 2]]);
        assert_eq!(found(&[(1, 1), (2, 1), (9, 2)]), [[1]]);
        assert_eq!(found(&[(1, 2), (2, 3), (3, 2), (4, 3), (5, 6), (6, 5)]), [[2, 3], [5, 6]]);
    }
}
