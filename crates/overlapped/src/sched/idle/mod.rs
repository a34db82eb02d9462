//! Polling and sleeping: the inbox, the timers and the port. It runs no tasklet, and only moves
//! tasklets to the ready queue (the port reaps, the scheduler runs).
//!
//! | file | what it has |
//! |---|---|
//! | `inbox` | messages from other threads, and whether the scheduler sleeps |
//! | `group` | the schedulers of a run: which are idle, and when the run has ended |
//! | `intake` | ids and counts of new tasklets |
//! | `interrupts` | requests of signal handlers |

use std::time::Duration;

mod group;
mod inbox;
mod intake;
pub(crate) mod interrupts;

pub(crate) use group::Group;
use group::IdleOutcome;
pub(crate) use inbox::{Inbox, Job, Message, Refused, RemoteLink};
pub(crate) use intake::Intake;

use super::{NEVER, Sched, State, Waiting, Wake};
use crate::switch::prefetch;

/// The time between two trims of idle stacks, in nanoseconds.
const TRIM_EVERY_NS: u64 = 1_000_000_000;

/// The distance, in completions, at which a tasklet's block is prefetched.
const PREFETCH_AHEAD: usize = 4;

/// The maximum number of closures that have been taken from the inbox and have not begun.
const UNBEGUN_MAX: usize = 1 << 12;

/// The outcome of a poll.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PollOutcome {
    /// A tasklet may be ready.
    Again,
    /// No tasklet is ready, and nothing can wake one.
    Deadlock,
    /// All tasklets in the group have ended.
    Over,
}

impl Sched {
    /// Polls without waiting.
    pub(super) fn poll(&self) {
        self.end_interrupted_waits();
        self.read_inbox();
        // The port comes before the timers: a completion that has arrived must not time out because
        // this poll is late.
        if self.driver.borrow().has_work() {
            self.reap_completions(Some(Duration::ZERO));
        }
        self.read_clock();
        self.fire_timers();
    }

    /// Polls the port, and sleeps until something is to be done, or the grace time has ended. One
    /// call of the port submits, waits and reaps.
    pub(super) fn poll_or_sleep(&self) -> PollOutcome {
        self.end_interrupted_waits();
        self.read_inbox();
        if self.ready.len() > 0 {
            return PollOutcome::Again;
        }
        if self.spin() {
            self.poll();
            return PollOutcome::Again;
        }
        if !self.inbox.fall_asleep() {
            return PollOutcome::Again;
        }
        let outcome = if self.live.get() > 0 && self.something_can_wake() {
            self.sleep();
            PollOutcome::Again
        } else {
            if self.retry_stack_waiters() {
                self.inbox.wake_up();
                return PollOutcome::Again;
            }
            match self.group.set_idle(self.member, self.live.get() > 0) {
                IdleOutcome::Sleep => {
                    self.sleep();
                    self.group.set_busy(self.member);
                    PollOutcome::Again
                }
                IdleOutcome::Deadlock => PollOutcome::Deadlock,
                IdleOutcome::Over => PollOutcome::Over,
            }
        };
        self.inbox.wake_up();
        outcome
    }

    /// Spins for a moment, if sleeps were short, until something arrives. Meanwhile other threads
    /// need not notify: that is a system call, and costs them more than the message itself.
    #[inline]
    fn spin(&self) -> bool {
        let until = self.grace_until.get().min(self.timers.borrow().next());
        let left =
            (until != NEVER).then(|| Duration::from_nanos(until.saturating_sub(self.now.get())));
        self.driver.borrow_mut().spin(left, || self.inbox.is_full())
    }

    fn sleep(&self) {
        self.end_deadlock_reports();
        let rare = self.trim().min(self.check_lock_cycles()).min(self.next_thread_check());
        let until = self.grace_until.get().min(self.timers.borrow().next()).min(rare);
        let left = || Duration::from_nanos(until.saturating_sub(self.read_clock()));
        self.reap_completions((until != NEVER).then(left));
        self.read_clock();
        self.fire_timers();
    }

    /// Returns the memory of stacks, and of thread-locals, that were not used for a second. Returns
    /// when to call again.
    fn trim(&self) -> u64 {
        let (mut pool, mut blocks) = (self.pool.borrow_mut(), self.blocks.borrow_mut());
        if !pool.is_trimmable() && !blocks.is_trimmable() {
            return NEVER;
        }
        let now = self.read_clock();
        if self.trim_at.get() <= now {
            blocks.trim();
            let more = pool.trim();
            self.trim_at.set(if more { now } else { now + TRIM_EVERY_NS });
        }
        self.trim_at.get()
    }

    /// Moves completions from the port to the ready queue.
    pub(super) fn reap_completions(&self, timeout: Option<Duration>) {
        let mut reaped = self.reaped.borrow_mut();
        if let Err(error) = self.driver.borrow_mut().wait(timeout, &mut reaped) {
            // Operations in flight point into living stacks. Without the port it is unknown when
            // they end, so no tasklet may go on, and none may be abandoned.
            eprintln!("overlapped: the completion port failed: {error}; aborting");
            std::process::abort();
        }
        let mut table = self.table.borrow_mut();
        for (i, completion) in reaped.iter().enumerate() {
            // Blocks lie far apart, so the block of a later completion is prefetched now.
            if let Some(later) = reaped.get(i + PREFETCH_AHEAD)
                && let Some(owner) = table.get(later.token)
            {
                prefetch(owner.as_ptr().cast_const().cast());
            }
            let owner = table.remove(completion.token);
            let node = owner.expect("a completion names an operation in flight");
            self.complete(node, completion.outcome);
        }
        reaped.clear();
    }

    /// Reads the inbox. Closures wait there while many of those that were taken in have not begun.
    /// So a thread that posts faster than they can begin is refused in the end.
    fn read_inbox(&self) {
        let unbegun = if self.ready.len() == 0 { 0 } else { self.intake.not_begun() };
        let most = UNBEGUN_MAX.saturating_sub(unbegun);
        let (messages, jobs) = &mut *self.messages.borrow_mut();
        self.inbox.drain(messages, jobs, most);
        for job in jobs.drain(..) {
            self.adopt(job(&self.intake));
        }
        for message in messages.drain(..) {
            match message {
                Message::Wake(token) => {
                    let waiter = self.remove_remote_wait(token);
                    if let Some(tcb) = waiter {
                        self.wake(tcb, Wake::Done);
                    }
                }
                Message::Kill(token) => {
                    let target = self.remotes.borrow().get(token).cloned();
                    if let Some((tcb, link)) = target {
                        if let Some(link) = link {
                            link.acknowledge_kill();
                        }
                        self.kill(tcb);
                    }
                }
                Message::End => self.end_all(),
            }
        }
    }

    fn fire_timers(&self) {
        let now = self.now.get();
        loop {
            let due = self.timers.borrow_mut().pop_due(now);
            let Some(tcb) = due else { break };
            let block = self.block(tcb);
            debug_assert_eq!(block.state.get(), State::Waiting);
            let why = match block.waiting.get() {
                Waiting::Sleep => Wake::Done,
                _ => Wake::TimedOut,
            };
            self.interrupt_wait(tcb, why);
        }
    }
}
