//! Looking outside: the inbox, the timers and the port. Runs nothing, only moves tasklets to the
//! ready queue (third law).

use std::time::Duration;

use super::group::Rest;
use super::{Message, NEVER, Sched, State, TcbPtr, Waiting, Wake};
use crate::switch::prefetch;
use crate::sys::thread::count;

/// How often idle stacks are looked through, in nanoseconds.
const TRIM_EVERY_NS: u64 = 1_000_000_000;

/// The time between two looks for other threads, on whom all that wait depend.
const LOOK_FOR_THREADS_NS: u64 = 1_000_000_000;

/// How far ahead of a completion its successors' blocks are asked for.
const PREFETCH_AHEAD: usize = 4;

/// The most closures from the inbox that have been taken in and have not begun.
const UNBEGUN_MAX: usize = 1 << 12;

/// What a look outside led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// Go on: somebody may be ready.
    Again,
    /// Nobody is ready, and nobody is left who could wake anyone.
    Hopeless,
    /// Everybody in the group has ended.
    Over,
}

impl Sched {
    /// Looks outside without waiting.
    pub(super) fn look(&self) {
        self.end_interrupted_waits();
        self.read_inbox();
        // Before the timers: what has come must not be called late because we were.
        if self.driver.borrow().has_work() {
            self.reap(Some(Duration::ZERO));
        }
        self.read_clock();
        self.fire_timers();
    }

    /// Looks outside, and waits there until there is something to do, or the grace time is over.
    /// One call of the port submits, waits and reaps.
    pub(super) fn look_or_sleep(&self) -> Look {
        self.end_interrupted_waits();
        self.read_inbox();
        if self.ready.len() > 0 {
            return Look::Again;
        }
        if self.watch() {
            self.look();
            return Look::Again;
        }
        if !self.inbox.fall_asleep() {
            return Look::Again;
        }
        let look = if self.live.get() > 0 && self.someone_can_wake() {
            self.sleep();
            Look::Again
        } else {
            if self.try_starved() {
                self.inbox.wake_up();
                return Look::Again;
            }
            match self.group.rest(self.member, self.live.get() > 0) {
                Rest::Sleep => {
                    self.sleep();
                    self.group.rise(self.member);
                    Look::Again
                }
                Rest::Hopeless => Look::Hopeless,
                Rest::Over => Look::Over,
            }
        };
        self.inbox.wake_up();
        look
    }

    /// Looks for a moment whether something comes, where sleeps are short. Not to be rung for: a
    /// system call costs the other thread more than its message.
    #[inline]
    fn watch(&self) -> bool {
        let until = self.grace_until.get().min(self.timers.borrow().next());
        let left =
            (until != NEVER).then(|| Duration::from_nanos(until.saturating_sub(self.now.get())));
        self.driver.borrow_mut().watch(left, || self.inbox.is_full())
    }

    fn sleep(&self) {
        self.end_verdicts();
        let rare = self.trim().min(self.look_for_lock_cycles()).min(self.look_for_threads());
        let until = self.grace_until.get().min(self.timers.borrow().next()).min(rare);
        let left = || Duration::from_nanos(until.saturating_sub(self.read_clock()));
        self.reap((until != NEVER).then(left));
        self.read_clock();
        self.fire_timers();
    }

    /// Returns the memory of stacks, and of thread-locals, that nobody has used for a second; says
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

    /// Whether something that somebody waits for can still happen.
    fn someone_can_wake(&self) -> bool {
        self.table.borrow().len() > 0
            || self.timed_waits.get() > self.thread_looks.get()
            || self.inbox.handles() > 0
            || self.others_can_wake()
            || self.threads_can_wake()
    }

    /// Tells whether a thread that is not a scheduler's could end one of the waits for such ones.
    fn threads_can_wake(&self) -> bool {
        self.thread_waits.get() > 0 && !count::are_only(self.group.len())
    }

    /// Says when to look again whether such a thread is left, while one is.
    fn look_for_threads(&self) -> u64 {
        match self.threads_can_wake() {
            true => self.read_clock() + LOOK_FOR_THREADS_NS,
            false => NEVER,
        }
    }

    /// Tells whether another thread could end one of the waits that are registered for that.
    fn others_can_wake(&self) -> bool {
        let waits = self.remote_waits.borrow();
        let can_wake = |tcb: &TcbPtr| match self.block(*tcb).waiting.get() {
            // SAFETY: it waits, so its frame is there, which borrows the lock.
            Waiting::Lock { holder, .. } => !unsafe { holder.as_ref() }.is_on(self),
            Waiting::Threads { .. } => false,
            _ => true,
        };
        let of_threads = self.lock_waits.get() + self.thread_waits.get();
        waits.len() > of_threads || waits.values().any(can_wake)
    }

    /// Moves completions from the port to the ready queue.
    pub(super) fn reap(&self, timeout: Option<Duration>) {
        let mut reaped = self.reaped.borrow_mut();
        if let Err(error) = self.driver.borrow_mut().wait(timeout, &mut reaped) {
            // Operations in flight point into living stacks. Without the port nobody can say when
            // they end, so no tasklet may go on, and none may be given up.
            eprintln!("overlapped: the completion port failed: {error}; aborting");
            std::process::abort();
        }
        let mut table = self.table.borrow_mut();
        for (i, completion) in reaped.iter().enumerate() {
            // Blocks lie far apart: the one after the next few is asked for now.
            if let Some(later) = reaped.get(i + PREFETCH_AHEAD)
                && let Some(owner) = table.get(later.token)
            {
                prefetch(owner.as_ptr().cast_const().cast());
            }
            let owner = table.remove(completion.token);
            let seat = owner.expect("a completion names an operation in flight");
            self.complete(seat, completion.outcome);
        }
        reaped.clear();
    }

    /// Reads the inbox. Closures wait there while many of those that were taken in have not begun:
    /// so who posts faster than they can begin is refused in the end.
    fn read_inbox(&self) {
        let unbegun = if self.ready.len() == 0 { 0 } else { self.unbegun.get() };
        let most = UNBEGUN_MAX.saturating_sub(unbegun);
        let (messages, jobs) = &mut *self.messages.borrow_mut();
        self.inbox.drain(messages, jobs, most);
        for job in jobs.drain(..) {
            self.adopt(job(self));
        }
        for message in messages.drain(..) {
            match message {
                Message::Wake(token) => {
                    let waiter = self.remote_waits.borrow_mut().remove(token);
                    if let Some(tcb) = waiter {
                        self.wake(tcb, Wake::Done);
                    }
                }
                Message::Kill(token) => {
                    let target = self.remotes.borrow_mut().get_mut(token).copied();
                    if let Some(tcb) = target {
                        self.block(tcb).extra(|extra| {
                            if let Some(line) = extra.and_then(|extra| extra.line.as_ref()) {
                                line.answer();
                            }
                        });
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
            self.cut_short(tcb, why);
        }
    }
}
