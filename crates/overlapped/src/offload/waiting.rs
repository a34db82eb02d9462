//! Threads for system calls that may wait for ever: opens of FIFOs and devices, locks of files.
//!
//! ```text
//! run_interruptible ─▶ queue ─▶ a thread of its own ─▶ Interruptible::call ─▶ the kernel
//!                                                            ▲ EINTR
//! Interruptible::interrupt ── a signal to the thread, again and again until the call has ended
//! ```
//!
//! Each waiting call has a thread, because nothing else behaves like a blocking call: the other
//! side of a FIFO sees an open that waits, and an open with `O_NONBLOCK` behaves differently.
//! Threads have small stacks, begin on demand, serve the next call when they are free, and end
//! after some idle seconds. There are [`THREADS_MAX`] at most; further calls queue.
//!
//! A waiter that leaves has its call interrupted (`sys::thread::interruptible`), so that no thread,
//! and no half-open FIFO, stays behind.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use crate::sys::lock::{Condvar, Mutex};
use crate::sys::per_process::PerProcess;
use crate::sys::thread::interruptible::block_other_signals;
use crate::sys::thread::start_small;

/// The maximum number of calls that wait at the same time.
const THREADS_MAX: usize = 4096;

/// The time for which an idle thread stays.
const IDLE: Duration = Duration::from_secs(5);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of this process, and the calls that wait for one.
#[derive(Default)]
struct Pool {
    state: Mutex<State>,
    work: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

static POOL: PerProcess<Pool> = PerProcess::new(forget_pool);

extern "C" fn forget_pool() {
    POOL.forget();
}

fn pool() -> &'static Pool {
    POOL.get(Pool::default)
}

/// Runs `job` on a thread where it may wait for ever.
///
/// # Errors
/// No thread could be started, and none exists.
pub(crate) fn run_interruptible(job: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let pool = pool();
    let mut state = pool.state.lock();
    state.jobs.push_back(Box::new(job));
    if state.idle >= state.jobs.len() {
        pool.work.notify_one();
        return Ok(());
    }
    if state.threads < THREADS_MAX {
        match start_small("overlapped-wait", || serve(pool)) {
            Ok(()) => state.threads += 1,
            Err(error) if state.threads == 0 => {
                state.jobs.pop_back();
                return Err(error);
            }
            // One of the other threads takes it.
            Err(_) => {}
        }
    }
    Ok(())
}

fn serve(pool: &'static Pool) {
    block_other_signals();
    let mut state = pool.state.lock();
    loop {
        while let Some(job) = state.jobs.pop_front() {
            drop(state);
            job();
            state = pool.state.lock();
        }
        state.idle += 1;
        let (again, timed_out) = pool.work.wait_timeout(state, IDLE);
        state = again;
        state.idle -= 1;
        if timed_out && state.jobs.is_empty() {
            state.threads -= 1;
            return;
        }
    }
}

/// Returns the number of calls that have a thread.
#[cfg(test)]
pub(crate) fn interruptible_calls() -> usize {
    let state = pool().state.lock();
    state.threads - state.idle
}
