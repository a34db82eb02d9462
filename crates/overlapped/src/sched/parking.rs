//! Parking and waking: the steps of a tasklet between *running*, *waiting* and *ready*.
//!
//! A wait for one event begins with [`Sched::begin_wait`], on the tasklet's stack, and ends with
//! [`Sched::wake`]. The deadline of the wait, if it has one, is counted in between.

use super::tasklet::order_for_handler;
use super::{NEVER, Sched, State, Tcb, TcbPtr, Waiting, Wake};
use crate::op::Token;

/// Parking, waking, and the ready queue.
impl Sched {
    /// Records that the running tasklet `me` waits from now on, until the port's clock shows
    /// `until` at the latest. The caller leaves the stack next.
    #[inline(always)]
    pub(crate) fn begin_wait(&self, me: &Tcb, tcb: TcbPtr, waiting: Waiting, until: u64) {
        me.since.set(self.now.get());
        me.wait_for(waiting);
        me.parked_at.set(self.next_order());
        if until != NEVER {
            me.wait_until.set(until);
            self.timed_waits.set(self.timed_waits.get() + 1);
            self.timers.borrow_mut().arm(tcb, until);
        }
    }

    /// Takes a ready tasklet out of the ready queue until it is resumed.
    pub(crate) fn pause_ready(&self, block: &Tcb, tcb: TcbPtr) {
        self.ready.remove(tcb);
        block.wait_for(Waiting::PausedByOther);
        block.parked_at.set(self.next_order());
        block.since.set(self.now.get());
    }

    /// Makes a waiting tasklet ready, at the end of the queue. It must have been unlinked from what
    /// it waited for.
    #[inline]
    pub(crate) fn wake(&self, tcb: TcbPtr, why: Wake) {
        self.unpark(tcb, why);
        self.ready.push_back(tcb);
    }

    /// Makes a waiting tasklet ready without queueing it: the caller does.
    #[inline]
    pub(crate) fn unpark(&self, tcb: TcbPtr, why: Wake) {
        let block = self.block(tcb);
        self.assert_ours(block);
        assert!(block.state.get() == State::Waiting, "only a waiting tasklet can be woken");
        // A tasklet that was ready before it was paused keeps the reason it was woken for.
        if !matches!(block.waiting.get(), Waiting::PausedByOther) {
            block.wake.set(why);
        }
        block.state.set(State::Ready);
        order_for_handler();
        block.waiting.set(Waiting::Nothing);
        self.forget_deadline(block);
    }

    /// Forgets the deadline of the present wait. Its entry in the heap stays until it is due.
    #[inline(always)]
    pub(super) fn forget_deadline(&self, block: &Tcb) {
        if block.wait_until.get() != NEVER {
            block.wait_until.set(NEVER);
            self.timed_waits.set(self.timed_waits.get() - 1);
        }
    }

    /// Returns a number that grows with every park.
    #[inline]
    fn next_order(&self) -> u64 {
        let order = self.order.get() + 1;
        self.order.set(order);
        order
    }

    /// Queues a ready tasklet at the end.
    #[inline(always)]
    pub(crate) fn push_ready(&self, tcb: TcbPtr) {
        self.ready.push_back(tcb);
    }

    /// Queues a ready tasklet at the front: it runs next.
    #[inline(always)]
    pub(crate) fn push_ready_first(&self, tcb: TcbPtr) {
        self.ready.push_front(tcb);
    }

    /// Moves a ready tasklet to the front by turning the ready queue, seen as a ring, and queues
    /// `caller`: see `Queue::rotate_out`.
    pub(crate) fn rotate_ready(&self, tcb: TcbPtr, caller: TcbPtr) {
        self.ready.rotate_out(tcb, caller);
        self.ready.push_front(tcb);
    }

    /// Returns the number of ready tasklets, without the running one.
    #[inline(always)]
    pub(crate) fn ready_count(&self) -> usize {
        self.ready.len()
    }

    /// Records the tasklet that runs from now on.
    #[inline(always)]
    pub(crate) fn set_running(&self, tcb: TcbPtr) {
        self.running.set(Some(tcb));
    }
}

/// Waits that another thread may end.
impl Sched {
    /// Registers a tasklet for a wake from another thread.
    pub(crate) fn add_remote_wait(&self, tcb: TcbPtr) -> Token {
        match self.remote_waits.borrow_mut().insert(tcb) {
            Ok(token) => token,
            Err(_) => unreachable!("the table of remote waits has no limit of its own"),
        }
    }

    /// Ends such a registration. Returns the tasklet, if it was still registered.
    pub(crate) fn remove_remote_wait(&self, token: Token) -> Option<TcbPtr> {
        self.remote_waits.borrow_mut().remove(token)
    }

    /// Returns the number of remote waits.
    #[cfg(test)]
    pub(crate) fn remote_wait_count(&self) -> usize {
        self.remote_waits.borrow().len()
    }

    /// Wakes the tasklet that is registered under `token`. Returns false if it has not parked yet:
    /// the caller wakes it through the inbox, which is read after it has.
    pub(crate) fn wake_remote_wait(&self, token: Token) -> bool {
        let waiter = self.remote_waits.borrow().get(token).copied();
        let Some(waiter) = waiter else { return true };
        if self.block(waiter).state.get() != State::Waiting {
            return false;
        }
        self.remove_remote_wait(token);
        self.wake(waiter, Wake::Done);
        true
    }

    /// Counts a wait for a lock that begins (1) or ends (-1).
    pub(crate) fn count_lock_wait(&self, by: isize) {
        self.lock_waits.set(self.lock_waits.get().wrapping_add_signed(by));
        self.lock_wait_began.set(self.lock_wait_began.get() || by > 0);
    }

    /// Counts a wait that a thread of this process must end, and that begins (1) or ends (-1).
    /// `polls`: its timer only makes the caller check again, so it does not count as a way out of a
    /// deadlock.
    pub(crate) fn count_thread_wait(&self, by: isize, polls: bool) {
        self.thread_waits.set(self.thread_waits.get().wrapping_add_signed(by));
        let polls = if polls { by } else { 0 };
        self.thread_polls.set(self.thread_polls.get().wrapping_add_signed(polls));
    }
}
