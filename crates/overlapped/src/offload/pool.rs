//! The pool's threads.
//!
//! ```text
//! offload ─▶ jobs ─▶ worker: the job ─▶ what it leaves for its waiter, and a bell
//!              │                              │ rung at once, or for many jobs together
//!              ▼ whom to call: desk.rs        ▼ bells.rs
//!            watch, every millisecond     the waiter's scheduler wakes
//! ```
//!
//! **Idle workers** look for the next job for a moment before they sleep, where that has been worth
//! it and there is another processor for whoever queues it; one at a time.
//!
//! **The watch** is a thread that ticks as long as anything is queued with all workers busy, or
//! held; it sleeps otherwise.
//!
//! **The end.** Idle threads end after some seconds. Nobody waits for them at the process's end. A
//! child of fork(2) has none of them, and begins with a pool of its own (`per_process`).

use std::sync::Arc;
use std::time::Duration;

use super::On;
use super::bells::{Bell, Held, ring};
use super::desk::{Call, Desk, Worker};
use super::rt::{self, AtomicBool, Condvar, Mutex, MutexGuard, Ordering, nanos};
use super::sample::Sample;
use crate::foreign::quietly;
use crate::spin::{Spin, WATCH};

/// Threads, and so jobs that wait at the same time.
pub(super) const THREADS_MAX: usize = 500;

/// How long a thread stays for the next job.
const IDLE: Duration = Duration::from_secs(5);

/// How often the watch looks.
const TICK: Duration = Duration::from_millis(1);

/// Returns the bell to be rung, if there is one.
pub(super) type Job = Box<dyn FnOnce(On) -> Option<Arc<dyn Bell>> + Send>;

pub(super) struct Pool {
    inner: Mutex<Inner>,
    /// What the watch sleeps on.
    watch: Condvar,
    /// Whether a worker can look for jobs while somebody else queues one.
    may_spin: bool,
}

struct Inner {
    desk: Desk<Job>,
    /// Where each worker is while it is idle.
    beds: Vec<Arc<Bed>>,
    /// A worker looks for its next job.
    is_spinning: bool,
    held: Held,
    watch: Watch,
}

#[derive(Default)]
struct Bed {
    /// Changes under the lock, after the worker has been called; read without it.
    called: AtomicBool,
    /// The worker sleeps, and must be woken. Only under the lock.
    asleep: AtomicBool,
    alarm: Condvar,
}

/// What is to be done without the lock.
#[must_use]
enum Errand {
    Nothing,
    Wake(Arc<Bed>),
    Start(Worker),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Watch {
    Absent,
    Asleep,
    Ticking,
}

impl Pool {
    /// For so many processors. `may_spin`: whether workers may look for jobs before they sleep.
    pub(super) fn new(processors: usize, may_spin: bool) -> Pool {
        let inner = Inner {
            desk: Desk::new(processors, THREADS_MAX),
            beds: Vec::new(),
            is_spinning: false,
            held: Held::default(),
            watch: Watch::Absent,
        };
        Pool { inner: Mutex::new(inner), watch: Condvar::default(), may_spin }
    }

    /// Has `job` called on a thread of the pool, or told that there is none.
    pub(super) fn offload(&'static self, job: Job) {
        let mut inner = self.lock();
        let call = inner.desk.push(job);
        if call == Call::Nobody {
            self.call_watch(&mut inner);
        }
        let errand = inner.call(call);
        drop(inner);
        self.run(errand);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        rt::lock(&self.inner)
    }

    fn run(&'static self, errand: Errand) {
        match errand {
            Errand::Nothing => {}
            Errand::Wake(bed) => bed.alarm.notify_one(),
            Errand::Start(worker) => {
                if !rt::start("overlapped-pool", move || self.serve(worker)) {
                    self.do_without(worker);
                }
            }
        }
    }

    /// A thread could not be started.
    #[cold]
    fn do_without(&'static self, worker: Worker) {
        let mut inner = self.lock();
        if !inner.desk.not_started(worker) {
            self.call_watch(&mut inner);
            return;
        }
        while let Some(job) = inner.desk.take() {
            drop(inner);
            ring(do_job(job, On::Nothing));
            inner = self.lock();
        }
    }

    /// Has the watch tick.
    fn call_watch(&'static self, inner: &mut Inner) {
        match inner.watch {
            Watch::Ticking => {}
            Watch::Asleep => {
                inner.watch = Watch::Ticking;
                self.watch.notify_one();
            }
            Watch::Absent => {
                // Without a watch the jobs still come to their turn, one after another.
                if rt::start("overlapped-watch", move || self.keep_watch()) {
                    inner.watch = Watch::Ticking;
                }
            }
        }
    }

    /// What a worker does.
    fn serve(&'static self, me: Worker) {
        let (mut sample, mut spin) = (Sample::begin(), Spin::default());
        let mut inner = self.lock();
        let bed = inner.bed(me);
        loop {
            let job = inner.desk.next(me);
            let queued = inner.desk.queued();
            let is_due = job.is_none() || !sample.is_calm || inner.held.is_due(queued);
            let due = if is_due { inner.held.take() } else { Vec::new() };
            let judged = if let Some(job) = job {
                drop(inner);
                ring(due);
                let bell = do_job(job, On::Thread);
                let judged = sample.count();
                inner = self.lock();
                inner.held.add(bell);
                judged
            } else {
                bed.called.store(false, Ordering::Relaxed);
                if queued > 0 {
                    self.call_watch(&mut inner);
                }
                if !due.is_empty() {
                    drop(inner);
                    ring(due);
                    inner = self.lock();
                }
                sample.end()
            };
            if let Some((jobs, waits)) = judged {
                inner = self.judge(inner, jobs, waits);
            }
            if inner.desk.is_idle(me) {
                let Some(again) = self.rest(inner, me, &bed, &mut spin) else { return };
                inner = again;
                sample.restart();
            }
        }
    }

    /// An idle worker's time until it is called. `None`: it ends.
    fn rest<'a>(
        &'static self,
        mut inner: MutexGuard<'a, Inner>,
        me: Worker,
        bed: &Bed,
        spin: &mut Spin,
    ) -> Option<MutexGuard<'a, Inner>> {
        if self.may_spin && spin.is_wanted() && !inner.is_spinning {
            inner.is_spinning = true;
            drop(inner);
            spin.watched(bed.watch());
            inner = self.lock();
            inner.is_spinning = false;
        }
        let began = nanos();
        bed.asleep.store(true, Ordering::Relaxed);
        while inner.desk.is_idle(me) {
            let (again, timed_out) = rt::wait(&bed.alarm, inner, IDLE);
            inner = again;
            if timed_out && inner.desk.is_idle(me) {
                bed.asleep.store(false, Ordering::Relaxed);
                inner.desk.leave(me);
                return None;
            }
            spin.slept(Duration::from_nanos(nanos() - began));
        }
        bed.asleep.store(false, Ordering::Relaxed);
        Some(inner)
    }

    fn judge<'a>(
        &'static self,
        mut inner: MutexGuard<'a, Inner>,
        jobs: u32,
        waits: u32,
    ) -> MutexGuard<'a, Inner> {
        let call = inner.desk.judge(jobs, waits);
        if call == Call::Nobody {
            return inner;
        }
        let errand = inner.call(call);
        drop(inner);
        self.run(errand);
        self.lock()
    }

    /// What the watch does.
    fn keep_watch(&'static self) {
        let mut calls = Vec::new();
        let mut inner = self.lock();
        loop {
            let (time, was) =
                (if inner.watch == Watch::Ticking { TICK } else { IDLE }, inner.watch);
            let (again, timed_out) = rt::wait(&self.watch, inner, time);
            inner = again;
            if was == Watch::Asleep {
                if timed_out && inner.watch == Watch::Asleep {
                    inner.watch = Watch::Absent;
                    return;
                }
                continue;
            }
            let is_wanted = inner.desk.tick(&mut calls) || !inner.held.is_empty();
            let due = inner.held.tick();
            if !is_wanted {
                inner.watch = Watch::Asleep;
            }
            if !calls.is_empty() || !due.is_empty() {
                let errands: Vec<_> = calls.drain(..).map(|call| inner.call(call)).collect();
                drop(inner);
                ring(due);
                errands.into_iter().for_each(|errand| self.run(errand));
                inner = self.lock();
            }
        }
    }
}

impl Inner {
    fn bed(&mut self, worker: Worker) -> Arc<Bed> {
        while self.beds.len() <= worker {
            self.beds.push(Arc::default());
        }
        Arc::clone(&self.beds[worker])
    }

    /// Calls a worker; what is left to be done is not for the lock, which the worker will want.
    fn call(&mut self, call: Call) -> Errand {
        match call {
            Call::Nobody => Errand::Nothing,
            Call::Start(worker) => Errand::Start(worker),
            Call::Wake(worker) => {
                let bed = self.bed(worker);
                bed.called.store(true, Ordering::Release);
                if bed.asleep.load(Ordering::Relaxed) { Errand::Wake(bed) } else { Errand::Nothing }
            }
        }
    }
}

impl Bed {
    /// Looks for a moment whether the worker is called.
    fn watch(&self) -> bool {
        let end = nanos() + WATCH.as_nanos() as u64;
        while nanos() < end {
            if self.called.load(Ordering::Acquire) {
                return true;
            }
            rt::spin_loop();
        }
        false
    }
}

#[cfg(all(test, overlapped_loom))]
impl Pool {
    pub(super) fn do_without_watch(&self) {
        self.lock().watch = Watch::Ticking;
    }

    /// Idle threads end.
    pub(super) fn end_idleness(&self) {
        let inner = self.lock();
        rt::end();
        inner.beds.iter().for_each(|bed| bed.alarm.notify_one());
    }
}

/// A panic is its own to catch; one that comes through costs no thread.
fn do_job(job: Job, on: On) -> Option<Arc<dyn Bell>> {
    quietly(|| job(on)).flatten()
}
