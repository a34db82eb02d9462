//! Who of the pool's threads works, and how many of them: decisions only, no threads.
//!
//! ```text
//!            call                 next: a job                       tick, twice
//!   idle ──────────▶ (coming) ──────────────────▶ working ───────────────────────▶ stuck
//!    ▲                   ▲                        │  │                               │
//!    │ next: nothing,    └────────────────────────┘  │ next                          │ next
//!    │ or too many                next: a job        ▼                               ▼
//!    └──────────────────────────────────────────── (back) ◀──────────────────────────┘
//! ```
//!
//! *Awake* is who is not idle and not stuck. At most `width` are awake, so that jobs that only
//! compute do not push each other off the processors; `width` begins with one for each processor.
//! Jobs that wait (for a disk, a server, whatever `unblock` is given) must not hold up the others:
//!
//! - whose jobs wait about every second time, as the kernel counts it, calls one more;
//! - whose job has taken more than a tick is stuck, and another is awake in its place;
//! - if no job has begun for a tick although some are queued, there will be twice as many;
//! - whose jobs did not wait takes one back.
//!
//! So the width goes to where the processors have enough to do, and stays there: the next crowd of
//! waiting jobs finds as many threads as the last one needed.

use std::collections::VecDeque;

/// The number of a thread of the pool. Given to another one when it has ended.
pub(super) type Worker = usize;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No thread has this number.
    Vacant,
    Idle,
    /// Called, or between two jobs.
    Seeking,
    /// Since this tick.
    Working(u64),
    Stuck,
}

/// What is to be done outside the lock.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    Nobody,
    /// Wakes an idle thread.
    Wake(Worker),
    /// Starts one.
    Start(Worker),
}

/// See the module.
pub(super) struct Desk<J> {
    jobs: VecDeque<J>,
    workers: Vec<State>,
    /// Numbers that are vacant.
    vacant: Vec<Worker>,
    /// The one that became idle last is called first, so that the others can end.
    idle: Vec<Worker>,
    awake: usize,
    width: usize,
    width_min: usize,
    width_max: usize,
    ticks: u64,
    /// A job has begun since the last tick.
    moved: bool,
}

impl<J> Desk<J> {
    /// For so many processors, and with so many threads at most.
    pub(super) fn new(processors: usize, threads_max: usize) -> Desk<J> {
        let width_min = processors.clamp(1, threads_max);
        Desk {
            jobs: VecDeque::new(),
            workers: Vec::new(),
            vacant: Vec::new(),
            idle: Vec::new(),
            awake: 0,
            width: width_min,
            width_min,
            width_max: threads_max,
            ticks: 0,
            moved: false,
        }
    }

    /// Jobs that nobody has begun.
    pub(super) fn queued(&self) -> usize {
        self.jobs.len()
    }

    /// Queues a job. Where nobody is called for it, those who are awake come to it sooner or later;
    /// ticks must see to it that they do.
    pub(super) fn push(&mut self, job: J) -> Call {
        self.jobs.push_back(job);
        self.call()
    }

    /// One more worker, where there is something to do and not too many are awake.
    fn call(&mut self) -> Call {
        if self.jobs.is_empty() || self.awake >= self.width {
            return Call::Nobody;
        }
        let (worker, call) = if let Some(idle) = self.idle.pop() {
            (idle, Call::Wake(idle))
        } else if let Some(vacant) = self.vacant.pop() {
            (vacant, Call::Start(vacant))
        } else if self.workers.len() < self.width_max {
            self.workers.push(State::Vacant);
            (self.workers.len() - 1, Call::Start(self.workers.len() - 1))
        } else {
            return Call::Nobody;
        };
        self.workers[worker] = State::Seeking;
        self.awake += 1;
        call
    }

    /// What `worker` does next; it has ended its job, or has just come. `None`: it is idle now.
    pub(super) fn next(&mut self, worker: Worker) -> Option<J> {
        if self.workers[worker] == State::Stuck {
            self.awake += 1;
        }
        let job = if self.awake > self.width { None } else { self.jobs.pop_front() };
        if job.is_some() {
            self.moved = true;
            self.workers[worker] = State::Working(self.ticks);
        } else {
            self.workers[worker] = State::Idle;
            self.idle.push(worker);
            self.awake -= 1;
        }
        job
    }

    /// Whether `worker` has been told to do nothing, and not been called since.
    pub(super) fn is_idle(&self, worker: Worker) -> bool {
        self.workers[worker] == State::Idle
    }

    /// An idle worker's thread ends.
    pub(super) fn leave(&mut self, worker: Worker) {
        self.idle.retain(|&idle| idle != worker);
        self.workers[worker] = State::Vacant;
        self.vacant.push(worker);
    }

    /// A thread could not be started. True if there is none at all.
    pub(super) fn not_started(&mut self, worker: Worker) -> bool {
        self.workers[worker] = State::Vacant;
        self.vacant.push(worker);
        self.awake -= 1;
        self.vacant.len() == self.workers.len()
    }

    /// Takes what nobody will do, because there is no thread to be had.
    pub(super) fn take(&mut self) -> Option<J> {
        self.jobs.pop_front()
    }

    /// Of so many jobs that a worker has ended, so many waits were counted.
    pub(super) fn judge(&mut self, jobs: u32, waits: u32) -> Call {
        if waits == 0 {
            self.width = (self.width - 1).max(self.width_min);
        } else if waits * 2 >= jobs && !self.jobs.is_empty() && self.width < self.width_max {
            self.width += 1;
            return self.call();
        }
        Call::Nobody
    }

    /// To be called at regular times while jobs are queued. Says whom to call, and whether there
    /// was anything to see to.
    pub(super) fn tick(&mut self, calls: &mut Vec<Call>) -> bool {
        self.ticks += 1;
        let moved = std::mem::replace(&mut self.moved, false);
        if self.jobs.is_empty() {
            return moved;
        }
        for state in &mut self.workers {
            if matches!(*state, State::Working(since) if since + 2 <= self.ticks) {
                *state = State::Stuck;
                self.awake -= 1;
            }
        }
        if !moved {
            self.width = (self.width * 2).min(self.width_max);
        }
        for _ in 0..self.jobs.len() {
            match self.call() {
                Call::Nobody => break,
                call => calls.push(call),
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two processors, threads that are started at once, and jobs that are numbers.
    fn desk(threads_max: usize) -> Desk<u32> {
        Desk::new(2, threads_max)
    }

    /// A tick: how many were called.
    fn tick(desk: &mut Desk<u32>) -> usize {
        let mut calls = Vec::new();
        desk.tick(&mut calls);
        calls.len()
    }

    #[test]
    fn so_many_are_called_as_there_are_processors() {
        let mut desk = desk(500);
        assert_eq!(desk.push(0), Call::Start(0));
        assert_eq!(desk.push(1), Call::Start(1));
        assert_eq!(desk.push(2), Call::Nobody);
        assert_eq!((desk.next(0), desk.next(1), desk.next(0)), (Some(0), Some(1), Some(2)));
        assert_eq!((desk.next(1), desk.next(0)), (None, None));
        assert_eq!(desk.push(3), Call::Wake(0), "the one that became idle last");
    }

    #[test]
    fn a_job_of_more_than_a_tick_does_not_count_and_its_worker_comes_back() {
        let mut desk = desk(500);
        let _ = (desk.push(0), desk.push(1), desk.push(2), desk.push(3));
        assert_eq!((desk.next(0), desk.next(1)), (Some(0), Some(1)));
        assert_eq!(tick(&mut desk), 0, "they may have begun just now");
        assert_eq!(desk.next(1), Some(2), "the other one goes on");
        assert_eq!(tick(&mut desk), 1, "somebody in place of the first");
        assert_eq!(desk.next(2), Some(3));
        assert_eq!(desk.next(1), None);
        assert_eq!(desk.push(4), Call::Wake(1));
        assert_eq!((desk.next(1), desk.next(0)), (Some(4), None));
        assert_eq!(desk.width, 2);
    }

    #[test]
    fn a_queue_that_stands_still_gets_twice_as_many_until_the_limit() {
        let mut desk = desk(100);
        let started = (0..200).filter(|&job| desk.push(job) != Call::Nobody).count();
        assert_eq!(started, 2);
        let (mut begun, mut ticks) = (0, 0);
        while begun < 100 {
            let coming = (0..desk.workers.len()).filter(|&n| desk.workers[n] == State::Seeking);
            for worker in coming.collect::<Vec<_>>() {
                assert!(desk.next(worker).is_some());
                begun += 1;
            }
            tick(&mut desk);
            ticks += 1;
            assert!(ticks < 16, "{begun} jobs after {ticks} ticks");
        }
        tick(&mut desk);
        assert_eq!((desk.workers.len(), desk.queued()), (100, 100));
    }

    #[test]
    fn jobs_that_wait_widen_the_pool_and_jobs_that_do_not_narrow_it() {
        let mut desk = desk(500);
        let _ = (desk.push(0), desk.push(1), desk.push(2));
        assert_eq!((desk.next(0), desk.next(1)), (Some(0), Some(1)));
        assert_eq!(desk.judge(4, 1), Call::Nobody);
        assert_eq!(desk.judge(4, 2), Call::Start(2));
        assert_eq!(desk.width, 3);
        assert_eq!(desk.judge(4, 0), Call::Nobody);
        assert_eq!(desk.judge(4, 0), Call::Nobody);
        assert_eq!(desk.width, 2, "never fewer than processors");
        assert_eq!(desk.next(0), None, "three are too many");
        assert_eq!(desk.next(2), Some(2));
    }

    #[test]
    fn a_number_is_given_to_another_thread_when_its_thread_has_ended() {
        let mut desk = desk(500);
        let _ = desk.push(0);
        assert_eq!((desk.next(0), desk.next(0)), (Some(0), None));
        assert!(desk.is_idle(0));
        desk.leave(0);
        assert_eq!(desk.push(1), Call::Start(0));
        assert!(desk.not_started(0), "there is no other thread");
        assert_eq!((desk.take(), desk.take()), (Some(1), None));
        assert_eq!(desk.push(2), Call::Start(0));
    }
}
