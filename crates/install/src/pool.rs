//! Calls that cannot be tried without waiting run on a thread of the library's pool.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use overlapped::os::fd::raw::waiting_call;
use overlapped::signal::interruptible;
use overlapped::sync::Event;
use overlapped::task::{UnblockError, shield, unblock, unblock_to_end};
use overlapped::time::sleep;

use crate::caller::Call;
use crate::errors::error_number;
use crate::raw::{AGAIN, CANCELED, IO, Outcome, TIMED_OUT, call, give};

/// A value that moves to the pool's thread and back.
pub(crate) struct AssertSend<T>(T);

// SAFETY: `new`'s caller promises it.
unsafe impl<T> Send for AssertSend<T> {}

impl<T> AssertSend<T> {
    /// Lets a value that is not `Send` go to another thread.
    ///
    /// # Safety
    /// It must be sound for another thread to use and drop the value, as long as only one thread at
    /// a time has it. So what it points to belongs to the job, or the job's caller keeps it and
    /// leaves it alone until the job has ended.
    pub(crate) unsafe fn new(value: T) -> AssertSend<T> {
        AssertSend(value)
    }

    /// Returns the value. (A closure that names the field would capture only the field.)
    pub(crate) fn take(self) -> T {
        self.0
    }
}

/// Makes a descriptor of the job's own, for the same open file.
pub(crate) fn duplicate(fd: c_int) -> Result<OwnedFd, Outcome> {
    // SAFETY: the call returns a new descriptor, or an error.
    let own = unsafe { call!(fcntl, fd, libc::F_DUPFD_CLOEXEC, 0) };
    if own < 0 {
        return Err(own);
    }
    // SAFETY: the call above has made it.
    Ok(unsafe { OwnedFd::from_raw_fd(own as c_int) })
}

/// Runs a job that owns all it works on. A kill or a deadline ends the wait; the job runs on.
pub(crate) fn run_cancellable<T: Send + 'static>(
    call: &Call,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Outcome> {
    call.count();
    unblock(job).map_err(|error| match error {
        UnblockError::Cancelled => {
            shield(|| sleep(std::time::Duration::from_millis(1))); // As in `error_number`.
            CANCELED
        }
        UnblockError::TimedOut => TIMED_OUT,
        UnblockError::NoThread | UnblockError::WouldBlock => AGAIN,
        _ => IO,
    })
}

/// Makes a system call that may wait for ever, as an interruptible call: on a thread of its own,
/// which a kill, a deadline or a signal handler interrupts. It owns all it works on. `done`
/// receives its result.
pub(crate) fn run_interruptible<T: Send + 'static>(
    call: &Call,
    mut system_call: impl FnMut() -> Outcome + Send + 'static,
    done: impl FnOnce(i32) -> T + Send + 'static,
) -> Result<T, Outcome> {
    call.count();
    let made = move || give(system_call());
    interruptible(call.restart(false), || waiting_call(made, done))
        .map_err(|error| error_number(&error))
}

struct Shared<F, T> {
    job: Mutex<Option<F>>,
    result: Mutex<Option<T>>,
    done: Event,
}

impl<F: FnOnce() -> T, T> Shared<F, T> {
    fn new(job: F) -> Arc<Shared<F, T>> {
        Arc::new(Shared {
            job: Mutex::new(Some(job)),
            result: Mutex::new(None),
            done: Event::new(),
        })
    }

    fn run(&self) {
        let job = self.job.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(job());
            self.done.set();
        }
    }

    /// Waits for the result.
    fn end(&self) -> T {
        shield(|| self.done.wait());
        let result = self.result.lock().unwrap_or_else(PoisonError::into_inner).take();
        match result {
            Some(result) => result,
            // The job only makes system calls, so it has not panicked; and the result is stored
            // before the event is set.
            None => std::process::abort(),
        }
    }
}

/// Runs a job whose end the caller must see in every case. If there is no thread, it runs in place.
pub(crate) fn run_to_end<T: Send + 'static>(
    call: &Call,
    job: impl FnOnce() -> T + Send + 'static,
) -> T {
    call.count();
    unblock_to_end(job)
}

/// Runs a job as [`run_to_end`] does, but on a thread of its own. This is for jobs that wait for
/// each other: the pool may not have enough threads to run all of them at once.
pub(crate) fn run_to_end_on_own_thread<T: Send + 'static>(
    call: &Call,
    job: impl FnOnce() -> T + Send + 'static,
) -> T {
    const STACK_SIZE: usize = 64 << 10;
    call.count();
    let shared = Shared::new(job);
    let theirs = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("install-wait".into()).stack_size(STACK_SIZE);
    if with_signals_blocked(|| thread.spawn(move || theirs.run())).is_err() {
        shared.run();
    }
    shared.end()
}

/// Runs a job as [`run_to_end`] does, by way of `hand_over`, which gives it to another thread.
pub(crate) fn run_to_end_by<T: Send + 'static>(
    call: &Call,
    job: impl FnOnce() -> T + Send + 'static,
    hand_over: impl FnOnce(Box<dyn FnOnce() + Send>),
) -> T {
    call.count();
    let shared = Shared::new(job);
    let theirs = Arc::clone(&shared);
    hand_over(Box::new(move || theirs.run()));
    shared.end()
}

/// Calls `f` with all signals blocked. A thread that `f` starts inherits this, so no handler of the
/// program runs there.
pub(crate) fn with_signals_blocked<T>(f: impl FnOnce() -> T) -> T {
    let (mut all, mut before) = (MaybeUninit::uninit(), MaybeUninit::uninit());
    // SAFETY: both sets are written before they are read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
        let result = f();
        libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut());
        result
    }
}

/// Returns the descriptor's number, for a call.
pub(crate) fn number(fd: &OwnedFd) -> c_int {
    fd.as_raw_fd()
}

/// Releases the descriptor as a number, which the caller closes.
pub(crate) fn into_number(fd: OwnedFd) -> Outcome {
    fd.into_raw_fd() as Outcome
}
