//! Model checks of how jobs reach workers and how schedulers are woken, by loom:
//! `RUSTFLAGS="--cfg overlapped_loom" cargo test -p overlapped --release --lib loom_`.
//!
//! The ticker does not run in these models, which must hold without it. A job that no worker
//! begins, or a scheduler that is not woken, leaves all threads asleep, which loom reports.

use std::sync::Arc;

use super::pool::{Job, Pool};
use super::rt::{self, Condvar, Mutex};
use super::wakes::Sleeper;

/// A scheduler that sleeps until it is woken, and the results that jobs have left for it.
struct Waiter {
    state: Mutex<State>,
    alarm: Condvar,
}

#[derive(Default)]
struct State {
    left: usize,
    is_woken: bool,
}

impl Sleeper for Waiter {
    fn wake(&self) {
        rt::lock(&self.state).is_woken = true;
        self.alarm.notify_one();
    }
}

impl Waiter {
    fn new() -> Arc<Waiter> {
        Arc::new(Waiter { state: Mutex::new(State::default()), alarm: Condvar::new() })
    }

    fn job(self: &Arc<Waiter>) -> Job {
        let waiter = Arc::clone(self);
        Box::new(move |_| {
            rt::lock(&waiter.state).left += 1;
            Some(waiter)
        })
    }

    /// Sleeps, as often as it takes, until `jobs` jobs have left a result.
    fn wait_for(&self, jobs: usize) {
        let mut state = rt::lock(&self.state);
        while state.left < jobs {
            while !state.is_woken {
                state = self.alarm.wait(state).unwrap();
            }
            state.is_woken = false;
        }
    }
}

/// Queues the jobs of each round, and waits for them, with a pool for `processors`.
fn model(processors: usize, spins: bool, rounds: &'static [usize]) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        rt::begin();
        let pool: &'static Pool = Box::leak(Box::new(Pool::new(processors, spins)));
        pool.do_without_ticker();
        let waiter = Waiter::new();
        let mut queued = 0;
        for &jobs in rounds {
            for _ in 0..jobs {
                pool.offload(waiter.job());
            }
            queued += jobs;
            waiter.wait_for(queued);
        }
        pool.end_idleness();
    });
}

#[test]
fn loom_two_jobs_for_one_thread_are_done_and_reported() {
    model(1, false, &[2]);
}

#[test]
fn loom_two_jobs_for_two_threads_are_done_and_reported() {
    model(2, false, &[2]);
}

#[test]
fn loom_a_thread_that_goes_to_sleep_hears_of_the_next_job() {
    model(1, false, &[1, 1]);
}

#[test]
fn loom_a_thread_that_looks_for_jobs_before_it_sleeps_hears_of_the_next_ones() {
    model(1, true, &[1, 1, 1]);
}
