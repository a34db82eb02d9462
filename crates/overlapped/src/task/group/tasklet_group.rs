//! A group of tasklets, which belong together.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ptr::NonNull;
use std::rc::Rc;

use crate::sched::{JoinWaiter, Waiting, Wake, here, node_of};
use crate::task::suspension::{
    CannotWait, checkpoint, checkpoint_without_error, deliver_kill, park, take_deadlock_report,
};
use crate::task::{Builder, JoinError, SpawnError, Tasklet, WaitError};

/// Tasklets that belong together: a limited number runs at a time, they are joined in the order of
/// their ends or of spawning, and killed when the group is dropped.
///
/// Results of members that have ended are kept until they are joined. If that may be many, call
/// [`join_next`](TaskletGroup::join_next) in between, or use
/// [`map_unordered`](super::map_unordered()), which holds its source back.
///
/// ```
/// use overlapped::{run, task::TaskletGroup, time::{Duration, sleep}};
/// run(|| {
///     let mut group = TaskletGroup::new(10);
///     for n in 0..100 {
///         group.spawn(move || {
///             sleep(Duration::from_millis(1));
///             n
///         }).unwrap();
///         assert!(group.running() <= 10);
///     }
///     let sum: i32 = group.join_all().into_iter().map(|result| result.unwrap()).sum();
///     assert_eq!(sum, 4950);
/// }).unwrap();
/// ```
pub struct TaskletGroup<T> {
    limit: usize,
    next: u64,
    /// The members in the order of spawning.
    members: BTreeMap<u64, Tasklet<T>>,
    state: Rc<State>,
}

/// The state that a group shares with its members.
#[derive(Default)]
struct State {
    running: Cell<usize>,
    /// The members that have ended and have not been joined, in the order of their ends.
    ended: RefCell<VecDeque<u64>>,
    /// The group's owner, while it waits for a member's end.
    waiter: JoinWaiter,
}

/// The part of a member's closure that counts it. It is dropped at the member's end, or with a
/// closure that never ran.
struct Membership {
    state: Rc<State>,
    number: u64,
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.state.running.set(self.state.running.get() - 1);
        self.state.ended.borrow_mut().push_back(self.number);
        if let (Some(here), Some(node)) = (here(), self.state.waiter.take()) {
            here.claim_and_wake(node, Wake::Done);
        }
    }
}

impl<T: 'static> TaskletGroup<T> {
    /// Makes a group of at most `limit` running members, at least one. `usize::MAX`: any number.
    pub fn new(limit: usize) -> TaskletGroup<T> {
        TaskletGroup {
            limit: limit.max(1),
            next: 0,
            members: BTreeMap::new(),
            state: Rc::default(),
        }
    }

    /// Spawns a member. If the group is full, waits for one to end.
    ///
    /// # Errors
    /// Those of [`Builder::spawn`]; [`SpawnError::CannotWait`] and [`SpawnError::Wait`] if the
    /// group is full. `f` is dropped then.
    #[track_caller]
    pub fn spawn(&mut self, f: impl FnOnce() -> T + 'static) -> Result<(), SpawnError> {
        self.spawn_by(Builder::new(), f)
    }

    /// Spawns a member as [`spawn`](TaskletGroup::spawn) does, with a name or a stack size.
    ///
    /// # Errors
    /// As [`spawn`](TaskletGroup::spawn).
    #[track_caller]
    pub fn spawn_by(
        &mut self,
        builder: Builder,
        f: impl FnOnce() -> T + 'static,
    ) -> Result<(), SpawnError> {
        while self.running() >= self.limit {
            self.wait().map_err(|error| match error {
                WaitError::WouldBlock => SpawnError::CannotWait,
                error => SpawnError::Wait(error),
            })?;
        }
        let number = self.next;
        self.next += 1;
        self.state.running.set(self.running() + 1);
        let membership = Membership { state: Rc::clone(&self.state), number };
        let tasklet = builder.spawn(move || {
            let _membership = membership;
            f()
        });
        match tasklet {
            Ok(tasklet) => {
                self.members.insert(number, tasklet);
                Ok(())
            }
            Err(error) => {
                self.state.ended.borrow_mut().retain(|&ended| ended != number);
                Err(error)
            }
        }
    }

    /// Waits for the next member to end and returns its result, in the order of their ends. `None`
    /// when all have been joined.
    ///
    /// An error of the wait itself (a deadline, a deadlock report) is returned in place of a
    /// result, and the members are unchanged. There is one exception: in a destructor that runs
    /// while its tasklet unwinds nothing can wait any more, so the member that was spawned first is
    /// killed and removed. So a loop until `None` ends there, too.
    pub fn join_next(&mut self) -> Option<Result<T, JoinError>> {
        let ended = self.wait_next()?;
        let will_never_wait = || {
            let refused = here().map(checkpoint_without_error);
            matches!(refused, Some(Err(CannotWait::Unwinding)))
        };
        if matches!(ended, Err(JoinError::WouldBlock)) && will_never_wait() {
            self.kill_first();
        }
        Some(ended.and_then(Tasklet::join))
    }

    /// Waits for the next member to end and removes it. Returns the reason if the wait ended
    /// without one.
    pub(super) fn wait_next(&mut self) -> Option<Result<Tasklet<T>, JoinError>> {
        loop {
            if self.members.is_empty() {
                return None;
            }
            let number = self.state.ended.borrow().front().copied();
            let Some(number) = number else {
                match self.wait() {
                    Ok(()) => continue,
                    Err(WaitError::TimedOut) => return Some(Err(JoinError::TimedOut)),
                    Err(WaitError::Cancelled) => return Some(Err(JoinError::Cancelled)),
                    Err(WaitError::Deadlock(report)) => {
                        return Some(Err(JoinError::Deadlock(report)));
                    }
                    Err(_) => return Some(Err(JoinError::WouldBlock)),
                }
            };
            // Its closure has ended; dropping its leftovers may take a moment more.
            if let Some(Err(error)) = self.members.get(&number).map(Tasklet::wait_end) {
                return Some(Err(error));
            }
            self.state.ended.borrow_mut().pop_front();
            // A member that `kill_first` has removed is not there any more.
            if let Some(member) = self.members.remove(&number) {
                return Some(Ok(member));
            }
        }
    }

    /// Kills the member that was spawned first, and removes it.
    pub(super) fn kill_first(&mut self) {
        if let Some((_, first)) = self.members.pop_first() {
            first.kill();
        }
    }

    /// Joins all members that have not been joined. Returns their results in the order of spawning.
    ///
    /// An error of a wait itself (a deadline, a deadlock report) takes the place of the result, and
    /// the tasklet is killed.
    pub fn join_all(mut self) -> Vec<Result<T, JoinError>> {
        let mut results = Vec::with_capacity(self.members.len());
        while let Some(member) = self.members.first_entry() {
            // The member stays in its place during the wait, so that it is killed with the caller.
            let waited = member.get().wait_end();
            let member = member.remove();
            if waited.is_err() {
                member.kill();
            }
            results.push(waited.and_then(|()| member.join()));
        }
        results
    }
}

impl<T> TaskletGroup<T> {
    /// Returns the number of members that run, or are ready to.
    pub fn running(&self) -> usize {
        self.state.running.get()
    }

    /// Returns the number of members that have not been joined.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Tells whether all members have been joined.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Asks all members to end, as [`Tasklet::kill`] does. They are still there to be joined.
    pub fn kill_all(&self) {
        self.members.values().for_each(Tasklet::kill);
    }

    /// Waits until a member ends.
    fn wait(&self) -> Result<(), WaitError> {
        let here = here().ok_or(WaitError::WouldBlock)?;
        checkpoint(here).map_err(|reason| match reason {
            CannotWait::Killed => WaitError::Cancelled,
            CannotWait::Unwinding | CannotWait::NoSwitch => WaitError::WouldBlock,
        })?;
        let waiter = &self.state.waiter;
        waiter.set(Some(node_of(here.me_ptr())));
        match park(here, Waiting::Member(NonNull::from(waiter)), here.me().deadline.get()) {
            Wake::Done | Wake::Closed => Ok(()),
            Wake::TimedOut => Err(WaitError::TimedOut),
            Wake::Deadlock => Err(WaitError::Deadlock(take_deadlock_report(here))),
            Wake::Killed => {
                deliver_kill(here);
                Err(WaitError::Cancelled)
            }
        }
    }
}

impl<T> Drop for TaskletGroup<T> {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl<T> fmt::Debug for TaskletGroup<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskletGroup")
            .field("limit", &self.limit)
            .field("running", &self.running())
            .field("len", &self.len())
            .finish()
    }
}
