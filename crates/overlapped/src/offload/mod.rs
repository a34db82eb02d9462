//! The bounded pool of threads for blocking work, which no backend can do otherwise.
//!
//! A job owns all its memory and descriptors, because its waiter may leave before it begins, or be
//! abandoned, while the job still ends later. So no job borrows anything. There is one pool per
//! process, with 500 threads at most; further jobs queue. The process does not wait for it at its
//! end.
//!
//! | file | contents |
//! |---|---|
//! | `sizing` | how many threads work, and which: decisions without threads |
//! | `pool` | the threads |
//! | `load` | load sampling: whether their jobs block |
//! | `wakes` | wake coalescing: when the schedulers are woken that wait for jobs |
//! | `waiting` | threads of their own for calls that may wait for ever, and would use those up |
//! | `rt` | the locks, threads and clock of the pool; loom has its own |
//!
//! `loom_tests` model-checks how jobs reach workers and how waiters are woken, with workers that
//! sleep, are about to sleep, or spin first.
//!
//! **After fork(2)** the child has one thread. No job of its parent's ends there, and a scheduler
//! of its own uses threads of its own.

mod load;
mod pool;
mod rt;
mod sizing;
mod waiting;
mod wakes;

#[cfg(all(test, overlapped_loom))]
mod loom_tests;

use std::sync::Arc;

use crate::sys::per_process::PerProcess;
use crate::sys::thread::available_parallelism;

pub(crate) use pool::On;
use pool::Pool;

#[cfg(test)]
pub(crate) use waiting::interruptible_calls;
pub(crate) use waiting::run_interruptible;
pub(crate) use wakes::Sleeper;

static POOL: PerProcess<Pool> = PerProcess::new(forget_pool);

extern "C" fn forget_pool() {
    POOL.forget();
}

fn pool() -> &'static Pool {
    POOL.get(|| {
        let processors = available_parallelism().map_or(1, usize::from);
        Pool::new(processors, processors > 1)
    })
}

/// Runs `job` on a thread of the pool, or on this thread if none can be started at all. The job
/// makes system calls only, and must catch its own panics.
pub(crate) fn offload(job: impl FnOnce() + Send + 'static) {
    offload_and_wake(|_| {
        job();
        None
    });
}

/// Calls `job` on a thread of the pool, or with [`On::Nothing`] if it has none. The job leaves a
/// result for its waiter and returns the scheduler to wake if that sleeps. The scheduler is woken
/// soon, perhaps once for several jobs.
pub(crate) fn offload_and_wake(job: impl FnOnce(On) -> Option<Arc<dyn Sleeper>> + Send + 'static) {
    pool().offload(Box::new(job));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::offload;
    use super::{Sleeper, offload_and_wake};

    #[test]
    fn a_job_runs_on_another_thread() {
        let (sender, receiver) = mpsc::channel();
        offload(move || sender.send(thread::current().id()).unwrap());
        assert_ne!(receiver.recv().unwrap(), thread::current().id());
    }

    #[test]
    fn jobs_that_wait_for_each_other_all_begin() {
        const JOBS: usize = 200;
        let barrier = Arc::new(Barrier::new(JOBS));
        let (sender, receiver) = mpsc::channel();
        for _ in 0..JOBS {
            let (barrier, sender) = (Arc::clone(&barrier), sender.clone());
            offload(move || {
                barrier.wait();
                sender.send(()).unwrap();
            });
        }
        for _ in 0..JOBS {
            receiver.recv_timeout(Duration::from_secs(30)).expect("some job has never begun");
        }
    }

    #[test]
    fn a_job_that_panics_costs_no_thread() {
        let (sender, receiver) = mpsc::channel();
        for number in 0..100 {
            let sender = sender.clone();
            offload(move || {
                let _sent = sender;
                if number % 2 == 0 {
                    std::panic::resume_unwind(Box::new("quietly"));
                }
                _sent.send(()).unwrap();
            });
        }
        drop(sender);
        assert_eq!(receiver.iter().count(), 50);
    }

    /// A payload whose destructor panics.
    struct Payload;

    impl Drop for Payload {
        fn drop(&mut self) {
            std::panic::resume_unwind(Box::new("quietly"));
        }
    }

    #[test]
    fn a_panic_whose_payload_panics_when_dropped_costs_no_thread() {
        for _ in 0..super::pool::THREADS_MAX + 100 {
            offload(|| std::panic::resume_unwind(Box::new(Payload)));
        }
        let (sender, receiver) = mpsc::channel();
        offload(move || sender.send(()).unwrap());
        receiver.recv_timeout(Duration::from_secs(30)).expect("no thread is left");
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Sleeper for Counter {
        fn wake(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The job that comes next never ends while the wake-up is waited for.
    #[test]
    fn a_scheduler_is_woken_although_the_next_job_waits() {
        let counter = Arc::new(Counter::default());
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..8 * processors {
            let (theirs, blocked) = (Arc::clone(&counter), Arc::clone(&blocked));
            offload_and_wake(move |_| Some(theirs as Arc<dyn Sleeper>));
            offload(move || _ = blocked.lock().map(|blocked| blocked.recv()));
        }
        let late = Instant::now() + Duration::from_secs(30);
        while counter.0.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < late, "nothing has woken it");
            thread::sleep(Duration::from_millis(1));
        }
        drop(release);
    }
}
