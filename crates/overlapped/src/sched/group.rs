//! The schedulers of one run, one per thread: who rests, and when all is over.
//!
//! ```text
//!   nothing ready, nobody to wake anyone ──▶ rest ──▶ Sleep     somebody else is up
//!                                               ├──▶ Hopeless  all rest, some wait: a deadlock
//!                                               └──▶ Over      all rest, nobody lives
//! ```
//!
//! A member lies down after it has told its inbox that it sleeps and has seen it empty. What is
//! posted later comes from a member that is up, or from outside. So when all rest and all inboxes
//! are empty, nobody inside will ever post again; and handles outside are counted by the inboxes.
//! The inboxes are looked at and closed under all their locks at once, so nothing is posted into a
//! run that has ended: it is refused.
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

/// What a member that has nothing to do is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Sleep until woken, then [`Group::rise`].
    Sleep,
    /// Nobody in the whole group can wake anybody: give a verdict. The member is up.
    Hopeless,
    /// Everybody has ended: leave.
    Over,
}

pub(crate) struct Group {
    members: Box<[Member]>,
    state: Mutex<State>,
    placed_max: usize,
    /// The shutdown has begun: nothing more is taken on.
    ending: AtomicBool,
}

struct Member {
    /// There from before the first tasklet runs.
    inbox: OnceLock<Arc<Inbox>>,
    /// Tasklets that were placed here and have not ended.
    placed: AtomicUsize,
}

struct State {
    /// Who rests, and whether tasklets of his wait meanwhile.
    resting: Box<[Option<bool>]>,
    over: bool,
}

impl Group {
    /// A group for so many members, each with at most `placed_max` placed tasklets.
    pub(crate) fn new(members: usize, placed_max: usize) -> Group {
        let member = |_| Member { inbox: OnceLock::new(), placed: AtomicUsize::new(0) };
        let resting = vec![None; members].into();
        Group {
            members: (0..members).map(member).collect(),
            state: Mutex::new(State { resting, over: false }),
            placed_max,
            ending: AtomicBool::new(false),
        }
    }

    /// The shutdown begins. Whoever is about to post may still do so, once for each thread.
    pub(super) fn end(&self) {
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

    /// Leaves a message with a member.
    pub(crate) fn post(&self, member: usize, message: Message) -> Result<(), Closed> {
        self.members[member].inbox.get().ok_or(Closed)?.post(message)
    }

    /// Leaves a closure with a member.
    pub(crate) fn post_job(&self, member: usize, job: Job) -> Result<(), Refused> {
        self.members[member].inbox.get().ok_or(Refused::Closed)?.post_job(job)
    }

    /// Leaves a message with everybody else.
    pub(crate) fn post_others(&self, member: usize, message: impl Fn() -> Message) {
        for other in (0..self.len()).filter(|&other| other != member) {
            // Closed: it has ended.
            let _ = self.post(other, message());
        }
    }

    /// The member that carries the fewest placed tasklets.
    pub(crate) fn least_loaded(&self) -> usize {
        let load = |&member: &usize| self.members[member].placed.load(Ordering::Relaxed);
        (0..self.len()).min_by_key(load).unwrap_or(0)
    }

    /// Counts a tasklet that is placed with `member`; false at the limit.
    pub(crate) fn add_placed(&self, member: usize) -> bool {
        let placed = &self.members[member].placed;
        if placed.fetch_add(1, Ordering::Relaxed) < self.placed_max {
            return true;
        }
        placed.fetch_sub(1, Ordering::Relaxed);
        false
    }

    /// A placed tasklet has ended, or never came to be.
    pub(crate) fn remove_placed(&self, member: usize) {
        self.members[member].placed.fetch_sub(1, Ordering::Relaxed);
    }

    /// `member` has nothing to do: its inbox knows that it sleeps. `waiting`: tasklets of its wait.
    pub(crate) fn rest(&self, member: usize, waiting: bool) -> Rest {
        let mut state = self.lock();
        if state.over {
            return Rest::Over;
        }
        state.resting[member] = Some(waiting);
        let Some(who_wait) = state.resting.iter().copied().collect::<Option<Vec<bool>>>() else {
            return Rest::Sleep;
        };
        let mut locked: Vec<_> = self.inboxes().map(|inbox| inbox.lock()).collect();
        if locked.iter().any(|unread| unread.as_ref().is_some_and(|unread| !unread.is_empty())) {
            return Rest::Sleep; // Whoever it came to has been woken.
        }
        let first = who_wait.iter().position(|&waiting| waiting);
        let Some(first) = first else {
            locked.iter_mut().for_each(|unread| **unread = None);
            drop(locked);
            state.over = true;
            drop(state);
            self.wake_others(member);
            return Rest::Over;
        };
        drop(locked);
        if self.inboxes().any(|inbox| inbox.handles() > 0) {
            return Rest::Sleep; // The last handle that goes wakes its scheduler.
        }
        if waiting {
            state.resting[member] = None;
            return Rest::Hopeless;
        }
        drop(state);
        if let Some(inbox) = self.members[first].inbox.get() {
            inbox.wake();
        }
        Rest::Sleep
    }

    /// `member` is up again.
    pub(crate) fn rise(&self, member: usize) {
        self.lock().resting[member] = None;
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
