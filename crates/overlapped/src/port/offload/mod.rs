//! The bounded pool for what no backend can do without blocking a thread.
//!
//! A job owns all its memory and descriptors: whoever waits for it may be killed and leave at
//! once, and the job still ends later, on its own. So nothing is ever handed to this pool by
//! pointer. There is one pool per process, with 500 threads at most; further jobs queue. Nobody
//! waits for it at the process's end.
//!
//! | file | one job |
//! |---|---|
//! | `desk` | how many threads work, and which: decisions without threads |
//! | `pool` | the threads, and waking those who wait for jobs |
//! | `patient` | threads of their own for calls that may wait for ever, and would use those up |

mod desk;
mod patient;
mod pool;

use std::sync::Arc;

#[cfg(test)]
pub(crate) use patient::patient_calls;
pub(crate) use patient::{Patience, wait_patiently};
pub(crate) use pool::{Bell, forget};

/// Runs `job` on a thread of the pool. A panic inside is the job's own to catch.
pub(crate) fn offload(job: impl FnOnce() + Send + 'static) {
    offload_with_bell(|| {
        job();
        None
    });
}

/// As [`offload`], for a job that leaves something for somebody who may sleep over it: the bell
/// that it returns is rung soon, perhaps once for several jobs.
pub(crate) fn offload_with_bell(job: impl FnOnce() -> Option<Arc<dyn Bell>> + Send + 'static) {
    pool::offload(Box::new(job));
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    #[test]
    fn a_job_runs_on_another_thread() {
        let (sender, receiver) = mpsc::channel();
        super::offload(move || sender.send(std::thread::current().id()).unwrap());
        assert_ne!(receiver.recv().unwrap(), std::thread::current().id());
    }
}
