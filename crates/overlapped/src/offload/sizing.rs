//! The sizing policy of the pool: how many of its threads work, and which. Decisions only, no
//! threads.
//!
//! ```text
//!        wake_or_start             next: a job                       tick, twice
//!   idle ──────────▶ (coming) ──────────────────▶ working ───────────────────────▶ stuck
//!    ▲                   ▲                        │  │                               │
//!    │ next: nothing,    └────────────────────────┘  │ next                          │ next
//!    │ or too many                next: a job        ▼                               ▼
//!    └──────────────────────────────────────────── (back) ◀──────────────────────────┘
//! ```
//!
//! A worker is *awake* if it is neither idle nor stuck. At most `width` workers are awake, so that
//! jobs that only compute do not push each other off the processors. `width` begins with one for
//! each processor. Jobs that block (on a disk, a server, whatever `unblock` is given) must not hold
//! up the others:
//!
//! - a worker whose jobs block about every second time, as the kernel counts it, wakes or starts
//!   one more;
//! - a worker whose job has taken more than a tick is stuck, and another is awake in its place;
//! - if no job has begun for a tick although some are queued, there will be twice as many workers;
//! - a worker whose jobs did not block takes one back.
//!
//! So the width settles where the processors have enough to do. The next burst of blocking jobs
//! finds as many threads as the last one needed.

use std::collections::VecDeque;

/// The number of a thread of the pool. It is used again when the thread has ended.
pub(super) type Worker = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No thread has this number.
    Vacant,
    Idle,
    /// Woken or started, or between two jobs.
    Seeking,
    /// The worker has had a job since this tick.
    Working(u64),
    Stuck,
}

/// A decision, to be carried out without the pool's lock.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Nothing,
    /// Wake an idle thread.
    Wake(Worker),
    /// Start one.
    Start(Worker),
}

/// The workers and the queue; see the module's comment.
pub(super) struct Sizing<J> {
    jobs: VecDeque<J>,
    workers: Vec<State>,
    /// Numbers that are vacant.
    vacant: Vec<Worker>,
    /// The worker that became idle last is woken first, so that the others can end.
    idle: Vec<Worker>,
    awake: usize,
    width: usize,
    width_min: usize,
    width_max: usize,
    ticks: u64,
    /// A job has begun since the last tick.
    has_progressed: bool,
}

impl<J> Sizing<J> {
    /// Makes a policy for `processors`, with at most `threads_max` threads.
    pub(super) fn new(processors: usize, threads_max: usize) -> Sizing<J> {
        let width_min = processors.clamp(1, threads_max);
        Sizing {
            jobs: VecDeque::new(),
            workers: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            awake: 0,
            width: width_min,
            width_min,
            width_max: threads_max,
            ticks: 0,
            has_progressed: false,
        }
    }

    /// Returns the number of jobs that no worker has begun.
    pub(super) fn queued(&self) -> usize {
        self.jobs.len()
    }

    /// Queues a job. If no worker is woken for it, an awake one reaches it sooner or later; ticks
    /// must ensure that.
    pub(super) fn push(&mut self, job: J) -> Decision {
        self.jobs.push_back(job);
        self.wake_or_start()
    }

    /// Wakes or starts a worker if there is something to do and not too many are awake.
    fn wake_or_start(&mut self) -> Decision {
        if self.jobs.is_empty() || self.awake >= self.width {
            return Decision::Nothing;
        }
        let (worker, decision) = if let Some(idle) = self.idle.pop() {
            (idle, Decision::Wake(idle))
        } else if let Some(vacant) = self.vacant.pop() {
            (vacant, Decision::Start(vacant))
        } else if self.workers.len() < self.width_max {
            self.workers.push(State::Vacant);
            (self.workers.len() - 1, Decision::Start(self.workers.len() - 1))
        } else {
            return Decision::Nothing;
        };
        self.workers[worker] = State::Seeking;
        self.awake += 1;
        decision
    }

    /// Takes the next job for `worker`, which has ended its job or has just come. `None`: it is
    /// idle now.
    pub(super) fn next(&mut self, worker: Worker) -> Option<J> {
        if self.workers[worker] == State::Stuck {
            self.awake += 1;
        }
        let job = if self.awake > self.width { None } else { self.jobs.pop_front() };
        if job.is_some() {
            self.has_progressed = true;
            self.workers[worker] = State::Working(self.ticks);
        } else {
            self.workers[worker] = State::Idle;
            self.idle.push(worker);
            self.awake -= 1;
        }
        job
    }

    /// Tells whether `worker` has been given no job, and not been woken since.
    pub(super) fn is_idle(&self, worker: Worker) -> bool {
        self.workers[worker] == State::Idle
    }

    /// Removes an idle worker, whose thread ends.
    pub(super) fn leave(&mut self, worker: Worker) {
        self.idle.retain(|&idle| idle != worker);
        self.workers[worker] = State::Vacant;
        self.vacant.push(worker);
    }

    /// Records that a thread could not be started. Returns true if the pool has no thread at all.
    pub(super) fn not_started(&mut self, worker: Worker) -> bool {
        self.workers[worker] = State::Vacant;
        self.vacant.push(worker);
        self.awake -= 1;
        self.vacant.len() == self.workers.len()
    }

    /// Takes a job that no worker will do, because no thread can be started.
    pub(super) fn take(&mut self) -> Option<J> {
        self.jobs.pop_front()
    }

    /// Adjusts the width after a worker has finished `jobs` jobs that blocked `waits` times.
    pub(super) fn adjust(&mut self, jobs: u32, waits: u32) -> Decision {
        if waits == 0 {
            self.width = (self.width - 1).max(self.width_min);
        } else if waits * 2 >= jobs && !self.jobs.is_empty() && self.width < self.width_max {
            self.width += 1;
            return self.wake_or_start();
        }
        Decision::Nothing
    }

    /// Does what is due at each tick, while jobs are queued. Adds to `decisions`; returns whether
    /// there was anything to do.
    pub(super) fn tick(&mut self, decisions: &mut Vec<Decision>) -> bool {
        self.ticks += 1;
        let has_progressed = std::mem::replace(&mut self.has_progressed, false);
        if self.jobs.is_empty() {
            return has_progressed;
        }
        for state in &mut self.workers {
            if matches!(*state, State::Working(since) if since + 2 <= self.ticks) {
                *state = State::Stuck;
                self.awake -= 1;
            }
        }
        if !has_progressed {
            self.width = (self.width * 2).min(self.width_max);
        }
        for _ in 0..self.jobs.len() {
            match self.wake_or_start() {
                Decision::Nothing => break,
                decision => decisions.push(decision),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processors, threads that are started at once, and jobs that are numbers.
    fn sizing(threads_max: usize) -> Sizing<u32> {
        Sizing::new(2, threads_max)
    }

    /// Makes one tick. Returns the number of workers that it wakes or starts.
    fn tick(sizing: &mut Sizing<u32>) -> usize {
        let mut decisions = Vec::new();
        sizing.tick(&mut decisions);
        decisions.len()
    }

    #[test]
    fn as_many_workers_are_started_as_there_are_processors() {
        let mut sizing = sizing(500);
        assert_eq!(sizing.push(0), Decision::Start(0));
        assert_eq!(sizing.push(1), Decision::Start(1));
        assert_eq!(sizing.push(2), Decision::Nothing);
        assert_eq!((sizing.next(0), sizing.next(1), sizing.next(0)), (Some(0), Some(1), Some(2)));
        assert_eq!((sizing.next(1), sizing.next(0)), (None, None));
        assert_eq!(sizing.push(3), Decision::Wake(0), "the one that became idle last");
    }

    #[test]
    fn a_job_of_more_than_a_tick_does_not_count_and_its_worker_comes_back() {
        let mut sizing = sizing(500);
        let _ = (sizing.push(0), sizing.push(1), sizing.push(2), sizing.push(3));
        assert_eq!((sizing.next(0), sizing.next(1)), (Some(0), Some(1)));
        assert_eq!(tick(&mut sizing), 0, "they may have begun just now");
        assert_eq!(sizing.next(1), Some(2), "the other one goes on");
        assert_eq!(tick(&mut sizing), 1, "another one in place of the first");
        assert_eq!(sizing.next(2), Some(3));
        assert_eq!(sizing.next(1), None);
        assert_eq!(sizing.push(4), Decision::Wake(1));
        assert_eq!((sizing.next(1), sizing.next(0)), (Some(4), None));
        assert_eq!(sizing.width, 2);
    }

    #[test]
    fn a_stalled_queue_doubles_the_workers_until_the_limit() {
        let mut sizing = sizing(100);
        let started = (0..200).filter(|&job| sizing.push(job) != Decision::Nothing).count();
        assert_eq!(started, 2);
        let (mut begun, mut ticks) = (0, 0);
        while begun < 100 {
            let coming = (0..sizing.workers.len()).filter(|&n| sizing.workers[n] == State::Seeking);
            for worker in coming.collect::<Vec<_>>() {
                assert!(sizing.next(worker).is_some());
                begun += 1;
            }
            tick(&mut sizing);
            ticks += 1;
            assert!(ticks < 16, "{begun} jobs after {ticks} ticks");
        }
        tick(&mut sizing);
        assert_eq!((sizing.workers.len(), sizing.queued()), (100, 100));
    }

    #[test]
    fn jobs_that_block_widen_the_pool_and_jobs_that_do_not_narrow_it() {
        let mut sizing = sizing(500);
        let _ = (sizing.push(0), sizing.push(1), sizing.push(2));
        assert_eq!((sizing.next(0), sizing.next(1)), (Some(0), Some(1)));
        assert_eq!(sizing.adjust(4, 1), Decision::Nothing);
        assert_eq!(sizing.adjust(4, 2), Decision::Start(2));
        assert_eq!(sizing.width, 3);
        assert_eq!(sizing.adjust(4, 0), Decision::Nothing);
        assert_eq!(sizing.adjust(4, 0), Decision::Nothing);
        assert_eq!(sizing.width, 2, "never fewer than processors");
        assert_eq!(sizing.next(0), None, "three are too many");
        assert_eq!(sizing.next(2), Some(2));
    }

    #[test]
    fn a_number_is_given_to_another_thread_when_its_thread_has_ended() {
        let mut sizing = sizing(500);
        let _ = sizing.push(0);
        assert_eq!((sizing.next(0), sizing.next(0)), (Some(0), None));
        assert!(sizing.is_idle(0));
        sizing.leave(0);
        assert_eq!(sizing.push(1), Decision::Start(0));
        assert!(sizing.not_started(0), "no other thread exists");
        assert_eq!((sizing.take(), sizing.take()), (Some(1), None));
        assert_eq!(sizing.push(2), Decision::Start(0));
    }
}
