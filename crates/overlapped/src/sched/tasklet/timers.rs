//! Deadlines: a heap with at most one entry per tasklet, corrected lazily.
//!
//! A tasklet waits for one thing at a time, so it has one deadline at a time. Most deadlines are
//! never reached: a server's idle timeout is set at every read and forgotten at every answer. So an
//! entry that is *early* is left alone: when it comes up, the tasklet's present deadline decides
//! whether the entry fires, moves on, or goes. Ten thousand reads with a 30 s limit touch the heap
//! once in 30 s. Only a deadline that is earlier than the entry moves it at once.
//!
//! The heap is 4-ary: half the levels of a binary one, and children share a cache line.

use super::block::{NEVER, NOT_ARMED, Tcb, TcbPtr};

const ARITY: usize = 4;

struct Entry {
    when: u64,
    tcb: TcbPtr,
}

/// The heap. It holds living tasklets only: each is removed when it ends.
#[derive(Default)]
pub(crate) struct Timers {
    heap: Vec<Entry>,
}

fn block<'a>(tcb: TcbPtr) -> &'a Tcb {
    // SAFETY: the heap holds living tasklets only, and the scheduler has a reference to each.
    unsafe { &*tcb.as_ptr() }
}

impl Timers {
    /// Returns the time of the next entry, or [`NEVER`].
    pub(crate) fn next(&self) -> u64 {
        self.heap.first().map_or(NEVER, |entry| entry.when)
    }

    /// Makes sure that an entry of `tcb` comes up no later than `when`.
    pub(crate) fn arm(&mut self, tcb: TcbPtr, when: u64) {
        let at = block(tcb).timer_at.get();
        if at == NOT_ARMED {
            self.heap.push(Entry { when, tcb });
            self.sift_up(self.heap.len() - 1);
        } else if self.heap[at as usize].when > when {
            self.heap[at as usize].when = when;
            self.sift_up(at as usize);
        }
    }

    /// Removes the entry of a tasklet that ends.
    pub(crate) fn disarm(&mut self, tcb: TcbPtr) {
        let at = block(tcb).timer_at.get();
        if at != NOT_ARMED {
            self.take(at as usize);
        }
    }

    /// Takes the next tasklet whose deadline is not after `now`. Early entries are corrected on the
    /// way.
    pub(crate) fn pop_due(&mut self, now: u64) -> Option<TcbPtr> {
        while self.next() <= now {
            let tcb = self.heap[0].tcb;
            let until = block(tcb).wait_until.get();
            if until <= now {
                self.take(0);
                return Some(tcb);
            }
            if until == NEVER {
                self.take(0);
            } else {
                self.heap[0].when = until;
                self.sift_down(0);
            }
        }
        None
    }

    fn take(&mut self, at: usize) {
        let entry = self.heap.swap_remove(at);
        block(entry.tcb).timer_at.set(NOT_ARMED);
        if at < self.heap.len() {
            self.sift_down(at);
            self.sift_up(at);
        }
    }

    fn place(&self, at: usize) {
        block(self.heap[at].tcb).timer_at.set(at as u32);
    }

    fn sift_up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / ARITY;
            if self.heap[parent].when <= self.heap[at].when {
                break;
            }
            self.heap.swap(parent, at);
            self.place(at);
            at = parent;
        }
        self.place(at);
    }

    fn sift_down(&mut self, mut at: usize) {
        loop {
            let first = at * ARITY + 1;
            let last = (first + ARITY).min(self.heap.len());
            let Some(least) = (first..last).min_by_key(|&child| self.heap[child].when) else {
                break;
            };
            if self.heap[at].when <= self.heap[least].when {
                break;
            }
            self.heap.swap(at, least);
            self.place(at);
            at = least;
        }
        self.place(at);
    }
}
