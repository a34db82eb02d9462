//! The bounded pool for what no backend can do without blocking a thread.
//!
//! A job owns all its memory and descriptors: whoever waits for it may be killed and leave at
//! once, and the job still ends later, on its own. So nothing is ever handed to this pool by
//! pointer. The pool is the `blocking` crate's: one per process, threads start on demand, end
//! after some idle seconds, and there are 500 at most (`BLOCKING_MAX_THREADS`); further jobs
//! queue. Nobody waits for the pool at the process's end.
//!
//! Calls that may wait for ever would use those threads up: they have their own (`patient`).

mod patient;

#[cfg(test)]
pub(crate) use patient::patient_calls;
pub(crate) use patient::{Patience, wait_patiently};

/// Runs `job` on a thread of the pool. A panic inside is the job's own to catch.
pub(crate) fn offload(job: impl FnOnce() + Send + 'static) {
    blocking::unblock(job).detach();
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
