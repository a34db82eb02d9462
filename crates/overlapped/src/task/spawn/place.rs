//! Placing work: a `Send` closure goes to another scheduler and becomes a tasklet there.
//!
//! ```text
//!   place ──▶ Promise (with the closure) ──inbox──▶ a tasklet: runs it, fulfils the promise
//!     └─────▶ Placed  (handle, for any thread) ◀── Shared ◀──────────┘
//! ```
//!
//! Work is placed before it starts, and never moved after (a tasklet never changes thread). If the
//! tasklet is killed before its start, the closure is dropped on the tasklet's stack; if the
//! scheduler has ended, by the caller. A promise that is dropped unfulfilled reports *killed*. For
//! a promise that is leaked with an abandoned tasklet, the scheduler reports *abandoned*. So a join
//! always gets an answer.

use std::fmt;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::Arc;

use super::task::{Returned, make};
use super::{JoinError, Remote, SpawnError, Tasklet, current};
use crate::sched::{
    Group, Inbox, Intake, Job, Origin, Refused, assert_off_hub, drop_quietly, here,
};
use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{PanicPayload, TaskletExit};

/// Returns the number of schedulers of this run: `Config::threads`. Outside a scheduler: 0.
pub fn schedulers() -> usize {
    here().map_or(0, |here| here.group().len())
}

/// Runs `f` in a new tasklet on the scheduler of this run that has the fewest placed tasklets.
///
/// With one scheduler that is the caller's own. Share values with a placed tasklet as with a
/// thread: by `Arc`, atomics, channels that cross threads.
///
/// During a shutdown, when [`place_on`] returns `Ended`, the closure is dropped, and the handle
/// says that its tasklet was killed; so a destructor may call this.
///
/// # Panics
/// If [`place_on`] returns another error.
///
/// ```
/// overlapped::Config::new().threads(2).run(|| {
///     let there = overlapped::task::place(|| std::thread::current().id());
///     there.join().unwrap();
/// }).unwrap();
/// ```
#[track_caller]
pub fn place<F, T>(f: F) -> Placed<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    match place_for(Location::caller(), f) {
        Ok(placed) => placed,
        Err(error) => panic!("overlapped::task::place: {error}"),
    }
}

/// Places `f` on behalf of the call at `at`.
pub(in crate::task) fn place_for<F, T>(at: Origin, f: F) -> Result<Placed<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let here = here().ok_or(SpawnError::NoScheduler)?;
    match send(here.group(), here.group().least_loaded(), at, f) {
        Err(SpawnError::Ended) => Ok(Placed::killed()),
        placed => placed,
    }
}

/// Runs `f` in a new tasklet on the scheduler with this index. Index 0 is on the thread that called
/// `run`.
///
/// # Errors
/// `NoScheduler` outside a scheduler and for an index that no scheduler has; `Limit` if
/// `Config::tasklets_max` placed tasklets live there already, or if 1,048,576 closures wait there
/// to be taken in; `Ended` if the shutdown has begun. The closure has been dropped.
#[track_caller]
pub fn place_on<F, T>(scheduler: usize, f: F) -> Result<Placed<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let here = here().ok_or(SpawnError::NoScheduler)?;
    if scheduler >= here.group().len() {
        return Err(SpawnError::NoScheduler);
    }
    send(here.group(), scheduler, Location::caller(), f)
}

/// Runs a copy of `f` on every scheduler of this run, with the scheduler's index: the way to serve
/// one address on all cores.
///
/// # Errors
/// Those of [`place_on`]. Tasklets that have been placed by then run on.
///
/// ```
/// let places = overlapped::Config::new().threads(3).run(|| {
///     let all = overlapped::task::place_on_each(|index| index).unwrap();
///     all.into_iter().map(|one| one.join().unwrap()).collect::<Vec<_>>()
/// });
/// assert_eq!(places.unwrap(), [0, 1, 2]);
/// ```
#[track_caller]
pub fn place_on_each<F, T>(f: F) -> Result<Vec<Placed<T>>, SpawnError>
where
    F: FnOnce(usize) -> T + Clone + Send + 'static,
    T: Send + 'static,
{
    let (here, at) = (here().ok_or(SpawnError::NoScheduler)?, Location::caller());
    let place = |index| {
        let f = f.clone();
        send(here.group(), index, at, move || f(index))
    };
    (0..here.group().len()).map(place).collect()
}

/// A handle to a scheduler for other threads: it spawns `Send` closures there. It is cheap to
/// clone.
///
/// It does not keep the run from ending. While one exists, its scheduler makes no deadlock report.
pub struct Spawner {
    group: Arc<Group>,
    inbox: Arc<Inbox>,
    scheduler: usize,
}

/// Returns a handle to the caller's scheduler.
///
/// # Errors
/// `NoScheduler` outside a scheduler.
///
/// ```
/// overlapped::run(|| {
///     let spawner = overlapped::task::spawner().unwrap();
///     let answer = overlapped::task::unblock(move || spawner.spawn(|| 6 * 7).unwrap());
///     assert_eq!(answer.unwrap().join().unwrap(), 42);
/// }).unwrap();
/// ```
pub fn spawner() -> Result<Spawner, SpawnError> {
    let here = here().ok_or(SpawnError::NoScheduler)?;
    Ok(Spawner::new(Arc::clone(here.group()), Arc::clone(here.inbox()), here.member()))
}

impl Spawner {
    fn new(group: Arc<Group>, inbox: Arc<Inbox>, scheduler: usize) -> Spawner {
        inbox.add_handle();
        Spawner { group, inbox, scheduler }
    }

    /// Runs `f` in a new tasklet of that scheduler.
    ///
    /// # Errors
    /// `Limit` and `Ended`, as [`place_on`]; the closure has been dropped. A scheduler takes
    /// closures in when it can begin them. A thread that spawns faster than that gets `Limit`
    /// sooner or later; it should wait for some of its tasklets then.
    #[track_caller]
    pub fn spawn<F, T>(&self, f: F) -> Result<Placed<T>, SpawnError>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        send(&self.group, self.scheduler, Location::caller(), f)
    }
}

impl Clone for Spawner {
    fn clone(&self) -> Spawner {
        Spawner::new(Arc::clone(&self.group), Arc::clone(&self.inbox), self.scheduler)
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.inbox.remove_handle();
    }
}

impl fmt::Debug for Spawner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spawner").field("scheduler", &self.scheduler).finish_non_exhaustive()
    }
}

fn send<F, T>(
    group: &Arc<Group>,
    scheduler: usize,
    at: Origin,
    f: F,
) -> Result<Placed<T>, SpawnError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if group.is_ending() {
        return Err(SpawnError::Ended);
    }
    if !group.add_placed(scheduler) {
        return Err(SpawnError::Limit);
    }
    let shared = Arc::new(Shared::default());
    let promise = Promise { shared: Arc::clone(&shared), group: Arc::clone(group), scheduler };
    let placed = Placed { shared };
    let theirs = Arc::downgrade(&placed.shared);
    let job: Job = Box::new(move |intake| {
        let not_begun = NotBegun::count(intake);
        let body = move || {
            drop(not_begun);
            promise.fulfil(f);
        };
        // SAFETY: both types are 'static.
        let made = unsafe { make(intake, at, body) };
        let tcb = made.tcb;
        Tasklet::new(made).on_abandon(move || {
            if let Some(shared) = theirs.upgrade() {
                drop(shared.end(Err(JoinError::Abandoned)));
            }
        });
        tcb
    });
    match group.post_job(scheduler, job) {
        Ok(()) => Ok(placed),
        Err(Refused::Full) => Err(SpawnError::Limit),
        Err(Refused::Closed) => Err(SpawnError::Ended),
    }
}

/// Counts a placed tasklet from its arrival until it begins, or ends without having begun.
struct NotBegun(());

impl NotBegun {
    fn count(intake: &Intake) -> NotBegun {
        intake.count_not_begun(1);
        NotBegun(())
    }
}

impl Drop for NotBegun {
    fn drop(&mut self) {
        if let Some(here) = here() {
            here.intake().count_not_begun(-1);
        }
    }
}

/// The state that a placed tasklet shares with its handle.
struct Shared<T>(Mutex<State<T>>);

struct State<T> {
    outcome: Option<Result<T, JoinError>>,
    /// Set once; the outcome may have been taken since.
    is_over: bool,
    is_killed: bool,
    /// The handle is gone: the outcome is not wanted.
    is_detached: bool,
    /// Set while the tasklet runs and its handle exists.
    remote: Option<Remote>,
    joiner: Option<Waker>,
}

impl<T> Default for Shared<T> {
    fn default() -> Shared<T> {
        Shared(Mutex::new(State {
            outcome: None,
            is_over: false,
            is_killed: false,
            is_detached: false,
            remote: None,
            joiner: None,
        }))
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock()
    }

    /// Begins the tasklet's turn. Returns false if it was killed before.
    fn begin(&self) -> bool {
        let is_wanted = !self.lock().is_detached;
        let mut remote = is_wanted.then(|| current().remote());
        let mut state = self.lock();
        if !state.is_detached {
            state.remote = remote.take();
        }
        let begins = !state.is_killed;
        drop(state);
        drop(remote);
        begins
    }

    /// Records the end; the first reason counts. Returns an outcome that is not wanted, since it
    /// may hold a value of the user's.
    fn end(&self, outcome: Result<T, JoinError>) -> Option<Result<T, JoinError>> {
        let mut state = self.lock();
        if state.is_over {
            return Some(outcome);
        }
        state.is_over = true;
        let unwanted = if state.is_detached {
            Some(outcome)
        } else {
            state.outcome = Some(outcome);
            None
        };
        let (remote, joiner) = (state.remote.take(), state.joiner.take());
        drop(state);
        drop(remote);
        if let Some(joiner) = joiner {
            joiner.wake();
        }
        unwanted
    }
}

/// The tasklet's side, which records the outcome.
struct Promise<T> {
    shared: Arc<Shared<T>>,
    group: Arc<Group>,
    scheduler: usize,
}

impl<T: Send + 'static> Promise<T> {
    fn fulfil(self, f: impl FnOnce() -> T) {
        if !self.shared.begin() {
            return;
        }
        assert_off_hub();
        let returned: Returned<T> = catch_unwind(AssertUnwindSafe(f));
        let unwanted = self.shared.end(returned.map_err(|payload| {
            if payload.is::<TaskletExit>() {
                JoinError::Killed
            } else {
                JoinError::Panicked(PanicPayload::new(payload))
            }
        }));
        drop_quietly(unwanted);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        drop(self.shared.end(Err(JoinError::Killed)));
        self.group.remove_placed(self.scheduler);
    }
}

/// The handle of a placed tasklet, for any thread. Dropping it detaches the tasklet.
#[must_use = "dropping the handle detaches the tasklet"]
pub struct Placed<T> {
    shared: Arc<Shared<T>>,
}

impl<T> Placed<T> {
    /// Makes the handle of a tasklet that was killed before it could be placed.
    fn killed() -> Placed<T> {
        let shared = Shared::default();
        drop(shared.end(Err(JoinError::Killed)));
        Placed { shared: Arc::new(shared) }
    }

    /// Waits until the tasklet has ended, and returns its result. A tasklet that calls this blocks
    /// itself only; outside a scheduler it blocks the thread.
    ///
    /// # Errors
    /// [`JoinError`] says how the tasklet ended without a result, or why the wait ended early. The
    /// tasklet may also have been killed at the end of its run.
    pub fn join(self) -> Result<T, JoinError> {
        self.wait_end()?;
        let outcome = self.shared.lock().outcome.take();
        outcome.unwrap_or(Err(JoinError::Taken))
    }

    /// Waits until the tasklet has ended.
    pub(in crate::task) fn wait_end(&self) -> Result<(), JoinError> {
        loop {
            if self.is_finished() {
                return Ok(());
            }
            let (wait, waker) = waiter::prepare().map_err(JoinError::from_cannot_wait)?;
            let mut state = self.shared.lock();
            if state.is_over {
                continue;
            }
            state.joiner = Some(waker);
            drop(state);
            match wait.park("a placed tasklet", waiter::deadline()) {
                Woken::Yes => {}
                Woken::TimedOut => return Err(JoinError::from_cancelled_wait()),
                Woken::Killed => waiter::leave(),
            }
        }
    }

    /// Tells whether the tasklet has ended. Never waits.
    pub fn is_finished(&self) -> bool {
        self.shared.lock().is_over
    }

    /// Asks the tasklet to end, as [`Tasklet::kill`] does. If it has not started, its closure is
    /// dropped.
    pub fn kill(&self) {
        let mut state = self.shared.lock();
        state.is_killed = true;
        let remote = state.remote.clone();
        drop(state);
        if let Some(remote) = remote {
            remote.kill();
        }
    }
}

impl<T> Drop for Placed<T> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.is_detached = true;
        let (outcome, remote) = (state.outcome.take(), state.remote.take());
        drop(state);
        drop(remote);
        drop_quietly(outcome);
    }
}

impl<T> fmt::Debug for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Placed").field("finished", &self.is_finished()).finish_non_exhaustive()
    }
}
