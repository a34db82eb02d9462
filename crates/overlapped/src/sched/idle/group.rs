//! The schedulers of one run, one per thread: which are idle, and when the run has ended.
//!
//! ```text
//!   nothing ready, nothing can wake ──▶ set_idle ──▶ Sleep     another member is busy
//!                                               ├──▶ Deadlock  all idle, some tasklets wait
//!                                               └──▶ Over      all idle, no tasklet lives
//! ```
//!
//! A member becomes idle after it has marked its inbox as asleep and has seen the inbox empty. A
//! later message comes from a busy member, or from outside. So if all members are idle and all
//! inboxes are empty, no member will ever post again. Handles outside are counted by the inboxes.
//! The inboxes are checked and closed under all their locks at once, so a run that has ended takes
//! no message: posting is refused.
//!
//! A run on one thread is a group of one.

use std::sync::{Arc, OnceLock};

#[cfg(overlapped_loom)]
use loom::sync::{
    Mutex,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
#[cfg(not(overlapped_loom))]
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

#[cfg(not(overlapped_loom))]
use crate::sys::lock::Mutex;

use super::inbox::{Closed, Inbox, Job, Message, Refused};

/// The instruction to a member that has become idle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdleOutcome {
    /// Sleep until woken, then call [`Group::set_busy`].
    Sleep,
    /// Nothing in the whole group can wake a tasklet: make a deadlock report. The member is busy
    /// again.
    Deadlock,
    /// All tasklets have ended: leave.
    Over,
}

pub(crate) struct Group {
    members: Box<[Member]>,
    state: Mutex<State>,
    placed_max: usize,
    /// Set when the shutdown begins: no tasklet is placed any more.
    ending: AtomicBool,
}

struct Member {
    /// Set before the first tasklet runs.
    inbox: OnceLock<Arc<Inbox>>,
    /// The number of tasklets that were placed here and have not ended.
    placed: AtomicUsize,
}

struct State {
    /// The idle members, each with whether its tasklets wait; `None` for a busy one.
    idle: Box<[Option<bool>]>,
    over: bool,
}

impl Group {
    /// Makes a group of this many members, each with at most `placed_max` placed tasklets.
    pub(crate) fn new(members: usize, placed_max: usize) -> Group {
        let member = |_| Member { inbox: OnceLock::new(), placed: AtomicUsize::new(0) };
        let idle = vec![None; members].into();
        Group {
            members: (0..members).map(member).collect(),
            state: Mutex::new(State { idle, over: false }),
            placed_max,
            ending: AtomicBool::new(false),
        }
    }

    /// Marks the shutdown's begin. A thread that is about to post may still do so, once.
    pub(in crate::sched) fn end(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    /// Tells whether the shutdown has begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Enters a member's inbox.
    pub(crate) fn enter(&self, member: usize, inbox: Arc<Inbox>) {
        let entered = self.members[member].inbox.set(inbox);
        assert!(entered.is_ok(), "each member enters once");
    }

    fn inboxes(&self) -> impl Iterator<Item = &Arc<Inbox>> {
        self.members.iter().filter_map(|member| member.inbox.get())
    }

    /// Posts a message to a member.
    pub(crate) fn post(&self, member: usize, message: Message) -> Result<(), Closed> {
        self.members[member].inbox.get().ok_or(Closed)?.post(message)
    }

    /// Posts a closure to a member.
    pub(crate) fn post_job(&self, member: usize, job: Job) -> Result<(), Refused> {
        self.members[member].inbox.get().ok_or(Refused::Closed)?.post_job(job)
    }

    /// Posts a message to all other members.
    pub(crate) fn post_others(&self, member: usize, message: impl Fn() -> Message) {
        for other in (0..self.len()).filter(|&other| other != member) {
            // Closed: it has ended.
            let _ = self.post(other, message());
        }
    }

    /// Returns the member with the fewest placed tasklets.
    pub(crate) fn least_loaded(&self) -> usize {
        let load = |&member: &usize| self.members[member].placed.load(Ordering::Relaxed);
        (0..self.len()).min_by_key(load).unwrap_or(0)
    }

    /// Counts a tasklet that is placed with `member`. Returns false at the limit.
    pub(crate) fn add_placed(&self, member: usize) -> bool {
        let placed = &self.members[member].placed;
        if placed.fetch_add(1, Ordering::Relaxed) < self.placed_max {
            return true;
        }
        placed.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// Uncounts a placed tasklet that has ended, or could not be placed.
    pub(crate) fn remove_placed(&self, member: usize) {
        self.members[member].placed.fetch_sub(1, Ordering::Relaxed);
    }

    /// Marks `member` as idle, after its inbox knows that it sleeps. `waiting` tells whether it has
    /// tasklets that wait.
    pub(crate) fn set_idle(&self, member: usize, waiting: bool) -> IdleOutcome {
        let mut state = self.lock();
        if state.over {
            return IdleOutcome::Over;
        }
        state.idle[member] = Some(waiting);
        let Some(waiting_members) = state.idle.iter().copied().collect::<Option<Vec<bool>>>()
        else {
            return IdleOutcome::Sleep;
        };
        let mut locked: Vec<_> = self.inboxes().map(|inbox| inbox.lock()).collect();
        if locked.iter().any(|unread| unread.as_ref().is_some_and(|unread| !unread.is_empty())) {
            return IdleOutcome::Sleep; // The member that has messages was woken.
        }
        let first = waiting_members.iter().position(|&waiting| waiting);
        let Some(first) = first else {
            locked.iter_mut().for_each(|unread| **unread = None);
            drop(locked);
            state.over = true;
            drop(state);
            self.wake_others(member);
            return IdleOutcome::Over;
        };
        drop(locked);
        if self.inboxes().any(|inbox| inbox.handles() > 0) {
            return IdleOutcome::Sleep; // The last handle that goes wakes its scheduler.
        }
        if waiting {
            state.idle[member] = None;
            return IdleOutcome::Deadlock;
        }
        drop(state);
        if let Some(inbox) = self.members[first].inbox.get() {
            inbox.wake();
        }
        IdleOutcome::Sleep
    }

    /// Marks `member` as busy again.
    pub(crate) fn set_busy(&self, member: usize) {
        self.lock().idle[member] = None;
    }

    fn wake_others(&self, member: usize) {
        let others = self.members.iter().enumerate().filter(|(other, _)| *other != member);
        others.filter_map(|(_, other)| other.inbox.get()).for_each(|inbox| inbox.wake());
    }

    #[cfg(not(overlapped_loom))]
    fn lock(&self) -> crate::sys::lock::MutexGuard<'_, State> {
        self.state.lock()
    }

    #[cfg(overlapped_loom)]
    fn lock(&self) -> loom::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}
