//! Waiting for another thread: foreign blocking code on a pool thread.
//!
//! The job owns all it works on, so a killed waiter may leave at once: the job runs on, and its
//! result is dropped on the pool's thread.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use crate::port::offload;
use crate::sched::NEVER;
use crate::task::waiter::{self, Waker, Woken};
use crate::task::{PanicPayload, in_tasklet, shield};

/// Why [`unblock`] has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnblockError {
    /// The closure panicked on the pool's thread; this is the payload.
    Panicked(PanicPayload),
    /// The deadline set by [`timeout`](crate::time::timeout) passed first; the closure runs on.
    TimedOut,
    /// The caller may not wait: it is unwinding, or inside `no_switch`. The closure was dropped.
    WouldBlock,
}

type Slot<T> = Arc<Mutex<Option<Result<T, Box<dyn Any + Send>>>>>;

/// Runs `f` on a pool of threads for blocking work and blocks the calling tasklet only: the door
/// for foreign code that blocks its thread (a database driver, `getaddrinfo`, a long computation).
/// Outside a scheduler `f` runs where it is called.
///
/// The pool is bounded (500 threads); beyond that, calls queue.
///
/// # Errors
/// [`UnblockError`] says when.
///
/// ```
/// overlapped::run(|| {
///     let sum = overlapped::task::unblock(|| (1..=10u64).sum::<u64>()).unwrap();
///     assert_eq!(sum, 55);
/// }).unwrap();
/// ```
pub fn unblock<F, T>(f: F) -> Result<T, UnblockError>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if !in_tasklet() {
        return catch_unwind(AssertUnwindSafe(f)).map_err(panicked);
    }
    let (wait, waker) = waiter::prepare().map_err(|_| UnblockError::WouldBlock)?;
    let slot = begin(f, waker);
    match wait.park("a pool thread", waiter::deadline()) {
        Woken::Yes => {}
        Woken::TimedOut => return Err(UnblockError::TimedOut),
        Woken::Killed => waiter::leave(),
    }
    result_in(&slot).map_err(panicked)
}

/// As [`unblock`], for a job that the caller must see the end of: neither a kill nor a deadline
/// ends the wait, so `f` should be short. Where the caller may not wait, `f` runs in place.
pub(crate) fn unblock_to_end<F, T>(f: F) -> T
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    if !in_tasklet() {
        return f();
    }
    shield(|| {
        let Ok((wait, waker)) = waiter::prepare() else { return f() };
        let slot = begin(f, waker);
        let woken = wait.park("a pool thread", NEVER);
        assert_eq!(woken, Woken::Yes, "nothing else ends a shielded wait without a deadline");
        result_in(&slot).unwrap_or_else(|payload| resume_unwind(payload))
    })
}

/// Has `f` run on a pool thread; `waker` then says that the result is there.
fn begin<F, T>(f: F, waker: Waker) -> Slot<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let slot: Slot<T> = Arc::default();
    let theirs = slot.clone();
    offload::offload_with_bell(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        drop(theirs);
        waker.wake_by_bell()
    });
    slot
}

fn result_in<T>(slot: &Slot<T>) -> Result<T, Box<dyn Any + Send>> {
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    result.expect("the job leaves its result before it wakes the waiter")
}

fn panicked(payload: Box<dyn Any + Send>) -> UnblockError {
    UnblockError::Panicked(PanicPayload::new(payload))
}

impl fmt::Display for UnblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnblockError::Panicked(_) => "the closure given to unblock panicked",
            UnblockError::TimedOut => "the deadline passed before the closure was done",
            UnblockError::WouldBlock => "the caller may not wait here",
        })
    }
}

impl std::error::Error for UnblockError {}
