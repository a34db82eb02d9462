//! The bounded pool for what no backend can do without blocking a thread.
//!
//! A job owns all its memory and descriptors: whoever waits for it may leave before it begins, or
//! be given up, and the job still ends later, on its own. So nothing is ever handed to this pool by
//! pointer. There is one pool per process, with 500 threads at most; further jobs queue. Nobody
//! waits for it at the process's end.
//!
//! | file | one job |
//! |---|---|
//! | `desk` | how many threads work, and which: decisions without threads |
//! | `pool` | the threads |
//! | `sample` | whether their jobs wait |
//! | `bells` | waking those who wait for jobs |
//! | `patient` | threads of their own for calls that may wait for ever, and would use those up |
//! | `rt` | what the pool's threads stand on; loom has its own |
//! | `per_process` | what a child of fork(2) must not use, and has made anew |
//!
//! **How jobs are handed over**, and bells rung, is gone through by loom (`loom_tests`), for
//! threads that sleep, that are about to, and that look for jobs before they do.
//!
//! **After fork(2)** the child has one thread: of its parent's jobs none will end there, and what
//! it waits for by itself, in a scheduler of its own, is done by threads of its own.

mod bells;
mod desk;
mod patient;
mod per_process;
mod pool;
mod rt;
mod sample;

#[cfg(all(test, overlapped_loom))]
mod loom_tests;

use std::sync::{Arc, Once};

use crate::sys::descriptor::in_fork_children;

use per_process::PerProcess;
use pool::Pool;

pub(crate) use bells::Bell;
#[cfg(test)]
pub(crate) use patient::patient_calls;
pub(crate) use patient::{Patience, is_handler, wait_patiently};

static POOL: PerProcess<Pool> = PerProcess::new();

fn pool() -> &'static Pool {
    POOL.get(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Pool::new(processors, processors > 1)
    })
}

/// Has every child of fork(2) begin without threads.
fn forget_in_children() {
    extern "C" fn forget() {
        POOL.forget();
        patient::HOUSE.forget();
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| in_fork_children(forget));
}

/// On what a job is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum On {
    /// A thread of the pool.
    Thread,
    /// There is no thread, and none can be started. The caller found the job queued and may be
    /// anybody, in the middle of something else: the job neither waits nor runs the user's code,
    /// but gives that back to its waiter.
    Nothing,
}

/// Runs `job` on a thread of the pool; here, where no thread can be had at all. It makes system
/// calls only. A panic inside is the job's own to catch.
pub(crate) fn offload(job: impl FnOnce() + Send + 'static) {
    offload_with_bell(|_| {
        job();
        None
    });
}

/// Calls `job`, which leaves something for somebody who may sleep over it, on a thread of the pool
/// or says that there is none: the bell that it returns is rung soon, perhaps once for several
/// jobs.
pub(crate) fn offload_with_bell(job: impl FnOnce(On) -> Option<Arc<dyn Bell>> + Send + 'static) {
    pool().offload(Box::new(job));
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Barrier, mpsc};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::offload;
    use super::{Bell, offload_with_bell};

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

    impl Bell for Counter {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The job that comes next never ends while the bell is waited for.
    #[test]
    fn a_bell_is_rung_although_the_next_job_waits() {
        let bell = Arc::new(Counter::default());
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(std::sync::Mutex::new(blocked));
        let processors = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..8 * processors {
            let (theirs, blocked) = (Arc::clone(&bell), Arc::clone(&blocked));
            offload_with_bell(move |_| Some(theirs as Arc<dyn Bell>));
            offload(move || _ = blocked.lock().map(|blocked| blocked.recv()));
        }
        let late = Instant::now() + Duration::from_secs(30);
        while bell.0.load(Ordering::Relaxed) == 0 {
            assert!(Instant::now() < late, "nobody has rung");
            thread::sleep(Duration::from_millis(1));
        }
        drop(release);
    }
}
