//! The pool's threads.
//!
//! ```text
//! offload ─▶ jobs ─▶ worker: the job ─▶ a result for its waiter, and a scheduler to wake
//!              │                              │ at once, or once for many jobs
//!              ▼ which worker: sizing.rs      ▼ wakes.rs
//!            ticker, every millisecond      the waiter's scheduler wakes
//! ```
//!
//! **An idle worker** spins for its next job before it sleeps, if that has paid off before and a
//! job can be queued on another processor meanwhile. Only one worker spins at a time.
//!
//! **The ticker** is a thread that ticks as long as jobs are queued with all workers busy, or
//! wake-ups are held; it sleeps otherwise.
//!
//! **The end.** Idle threads end after some seconds. The process does not wait for them at its end.
//! A child of fork(2) has none of them, and begins with a pool of its own (`sys::per_process`).

use std::sync::Arc;
use std::time::Duration;

use super::load::Load;
use super::rt::{self, AtomicBool, Condvar, Mutex, MutexGuard, Ordering, nanos};
use super::sizing::{Decision, Sizing, Worker};
use super::wakes::{HeldWakes, Sleeper, wake_all};
use crate::foreign::quietly;
use crate::spin::{SPIN, Spin};

/// The maximum number of threads, and so of jobs that block at the same time.
pub(super) const THREADS_MAX: usize = 500;

/// The time for which an idle thread stays.
const IDLE: Duration = Duration::from_secs(5);

/// The ticker's period.
const TICK: Duration = Duration::from_millis(1);

/// The thread on which a job is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// A thread of the pool.
    Thread,
    /// A thread outside the pool, because the pool has no thread and can start none. That thread
    /// found the job queued and may be in the middle of other work. So the job must neither wait
    /// nor run the user's code, but gives it back to its waiter.
    Nothing,
}

/// A job, which returns the scheduler that is to be woken, if there is one.
pub(super) type Job = Box<dyn FnOnce(On) -> Option<Arc<dyn Sleeper>> + Send>;

pub(super) struct Pool {
    state: Mutex<State>,
    /// Wakes the ticker.
    ticker: Condvar,
    /// A worker can spin while another thread queues a job.
    may_spin: bool,
}

struct State {
    sizing: Sizing<Job>,
    /// The state of each worker while it is idle.
    idle_workers: Vec<Arc<IdleWorker>>,
    /// A worker spins for its next job.
    is_spinning: bool,
    held: HeldWakes,
    ticker: Ticker,
}

/// The state of an idle worker.
#[derive(Default)]
struct IdleWorker {
    /// Set under the lock, after the worker has been chosen; read without it.
    is_called: AtomicBool,
    /// The worker sleeps, and must be woken. It is accessed only under the lock.
    is_asleep: AtomicBool,
    alarm: Condvar,
}

/// A step to take without the lock.
#[must_use]
enum WorkerAction {
    Nothing,
    Wake(Arc<IdleWorker>),
    Start(Worker),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ticker {
    Absent,
    Asleep,
    Ticking,
}

impl Pool {
    /// Makes a pool for `processors`. `may_spin`: workers may spin before they sleep.
    pub(super) fn new(processors: usize, may_spin: bool) -> Pool {
        let state = State {
            sizing: Sizing::new(processors, THREADS_MAX),
            idle_workers: Vec::new(),
            is_spinning: false,
            held: HeldWakes::default(),
            ticker: Ticker::Absent,
        };
        Pool { state: Mutex::new(state), ticker: Condvar::default(), may_spin }
    }

    /// Calls `job` on a thread of the pool, or with [`On::Nothing`] if the pool has none.
    pub(super) fn offload(&'static self, job: Job) {
        let mut state = self.lock();
        let decision = state.sizing.push(job);
        if decision == Decision::Nothing {
            self.start_ticker(&mut state);
        }
        let action = state.carry_out(decision);
        drop(state);
        self.perform(action);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        rt::lock(&self.state)
    }

    fn perform(&'static self, action: WorkerAction) {
        match action {
            WorkerAction::Nothing => {}
            WorkerAction::Wake(idle_worker) => idle_worker.alarm.notify_one(),
            WorkerAction::Start(worker) => {
                if !rt::start("overlapped-pool", move || self.work(worker)) {
                    self.do_without(worker);
                }
            }
        }
    }

    /// Carries on after the thread of `worker` could not be started.
    #[cold]
    fn do_without(&'static self, worker: Worker) {
        let mut state = self.lock();
        if !state.sizing.not_started(worker) {
            self.start_ticker(&mut state);
            return;
        }
        while let Some(job) = state.sizing.take() {
            drop(state);
            wake_all(do_job(job, On::Nothing));
            state = self.lock();
        }
    }

    /// Makes the ticker tick.
    fn start_ticker(&'static self, state: &mut State) {
        match state.ticker {
            Ticker::Ticking => {}
            Ticker::Asleep => {
                state.ticker = Ticker::Ticking;
                self.ticker.notify_one();
            }
            Ticker::Absent => {
                // Without a ticker the jobs still get their turn, one after another.
                if rt::start("overlapped-tick", move || self.tick()) {
                    state.ticker = Ticker::Ticking;
                }
            }
        }
    }

    /// Does the jobs of a worker until its thread ends.
    fn work(&'static self, me: Worker) {
        let (mut load, mut spin) = (Load::new(), Spin::default());
        let mut state = self.lock();
        let idle_worker = state.idle_worker(me);
        loop {
            let job = state.sizing.next(me);
            let queued = state.sizing.queued();
            let is_due = job.is_none() || !load.did_not_block || state.held.is_due(queued);
            let due = if is_due { state.held.take() } else { Vec::new() };
            let sample = if let Some(job) = job {
                drop(state);
                wake_all(due);
                let sleeper = do_job(job, On::Thread);
                let sample = load.count();
                state = self.lock();
                state.held.add(sleeper);
                sample
            } else {
                idle_worker.is_called.store(false, Ordering::Relaxed);
                if queued > 0 {
                    self.start_ticker(&mut state);
                }
                if !due.is_empty() {
                    drop(state);
                    wake_all(due);
                    state = self.lock();
                }
                load.end()
            };
            if let Some((jobs, blocked)) = sample {
                state = self.adjust(state, jobs, blocked);
            }
            if state.sizing.is_idle(me) {
                let Some(again) = self.idle(state, me, &idle_worker, &mut spin) else { return };
                state = again;
                load.restart();
            }
        }
    }

    /// Waits, as an idle worker, until it is woken. `None`: its thread ends.
    fn idle<'a>(
        &'static self,
        mut state: MutexGuard<'a, State>,
        me: Worker,
        idle_worker: &IdleWorker,
        spin: &mut Spin,
    ) -> Option<MutexGuard<'a, State>> {
        if self.may_spin && spin.is_wanted() && !state.is_spinning {
            state.is_spinning = true;
            drop(state);
            spin.spun(idle_worker.spin());
            state = self.lock();
            state.is_spinning = false;
        }
        let began = nanos();
        idle_worker.is_asleep.store(true, Ordering::Relaxed);
        while state.sizing.is_idle(me) {
            let (again, timed_out) = rt::wait(&idle_worker.alarm, state, IDLE);
            state = again;
            if timed_out && state.sizing.is_idle(me) {
                idle_worker.is_asleep.store(false, Ordering::Relaxed);
                state.sizing.leave(me);
                return None;
            }
            spin.slept(Duration::from_nanos(nanos() - began));
        }
        idle_worker.is_asleep.store(false, Ordering::Relaxed);
        Some(state)
    }

    fn adjust<'a>(
        &'static self,
        mut state: MutexGuard<'a, State>,
        jobs: u32,
        blocked: u32,
    ) -> MutexGuard<'a, State> {
        let decision = state.sizing.adjust(jobs, blocked);
        if decision == Decision::Nothing {
            return state;
        }
        let action = state.carry_out(decision);
        drop(state);
        self.perform(action);
        self.lock()
    }

    /// Runs the ticker.
    fn tick(&'static self) {
        let mut decisions = Vec::new();
        let mut state = self.lock();
        loop {
            let before = state.ticker;
            let time = if before == Ticker::Ticking { TICK } else { IDLE };
            let (again, timed_out) = rt::wait(&self.ticker, state, time);
            state = again;
            if before == Ticker::Asleep {
                if timed_out && state.ticker == Ticker::Asleep {
                    state.ticker = Ticker::Absent;
                    return;
                }
                continue;
            }
            let is_wanted = state.sizing.tick(&mut decisions) || !state.held.is_empty();
            let due = state.held.tick();
            if !is_wanted {
                state.ticker = Ticker::Asleep;
            }
            if !decisions.is_empty() || !due.is_empty() {
                let actions: Vec<_> =
                    decisions.drain(..).map(|decision| state.carry_out(decision)).collect();
                drop(state);
                wake_all(due);
                actions.into_iter().for_each(|action| self.perform(action));
                state = self.lock();
            }
        }
    }
}

impl State {
    fn idle_worker(&mut self, worker: Worker) -> Arc<IdleWorker> {
        while self.idle_workers.len() <= worker {
            self.idle_workers.push(Arc::default());
        }
        Arc::clone(&self.idle_workers[worker])
    }

    /// Carries out the part of a decision that needs the lock. The rest comes after the unlock,
    /// since a woken worker takes the lock at once.
    fn carry_out(&mut self, decision: Decision) -> WorkerAction {
        match decision {
            Decision::Nothing => WorkerAction::Nothing,
            Decision::Start(worker) => WorkerAction::Start(worker),
            Decision::Wake(worker) => {
                let idle_worker = self.idle_worker(worker);
                idle_worker.is_called.store(true, Ordering::Release);
                if idle_worker.is_asleep.load(Ordering::Relaxed) {
                    WorkerAction::Wake(idle_worker)
                } else {
                    WorkerAction::Nothing
                }
            }
        }
    }
}

impl IdleWorker {
    /// Spins for a moment until the worker is woken.
    fn spin(&self) -> bool {
        let end = nanos() + SPIN.as_nanos() as u64;
        while nanos() < end {
            if self.is_called.load(Ordering::Acquire) {
                return true;
            }
            rt::spin_loop();
        }
        false
    }
}

#[cfg(all(test, overlapped_loom))]
impl Pool {
    pub(super) fn do_without_ticker(&self) {
        self.lock().ticker = Ticker::Ticking;
    }

    /// Ends idle threads.
    pub(super) fn end_idleness(&self) {
        let state = self.lock();
        rt::end();
        state.idle_workers.iter().for_each(|idle_worker| idle_worker.alarm.notify_one());
    }
}

/// Calls a job, which must catch its own panics. A panic that it does not catch still costs no
/// thread.
fn do_job(job: Job, on: On) -> Option<Arc<dyn Sleeper>> {
    quietly(|| job(on)).flatten()
}
