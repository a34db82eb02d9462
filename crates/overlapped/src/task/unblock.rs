//! Waiting for another thread: foreign blocking code on a pool thread.
//!
//! The job owns all it works on, so a killed waiter may leave at once: the job runs on, and its
//! result is dropped on the pool's thread.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use super::waiter::{self, Woken};
use super::{PanicPayload, in_tasklet};
use crate::port::offload;

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
    let slot: Slot<T> = Arc::default();
    let theirs = slot.clone();
    offload::offload(move || {
        let result = catch_unwind(AssertUnwindSafe(f));
        *theirs.lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        drop(theirs);
        waker.wake();
    });
    match wait.park("a pool thread", waiter::deadline()) {
        Woken::Yes => {}
        Woken::TimedOut => return Err(UnblockError::TimedOut),
        Woken::Killed => waiter::leave(),
    }
    let result = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    let result = result.expect("the job leaves its result before it wakes the waiter");
    result.map_err(panicked)
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
