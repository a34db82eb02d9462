//! Foreign blocking code on a pool thread.
//!
//! The job owns all that it works on, so a killed waiter may leave at once: the job runs on, and
//! its result is dropped on the pool's thread.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::offload;
use crate::offload::On;
use crate::sched::{NEVER, drop_quietly, here};
use crate::sys::lock::{Mutex, MutexGuard};
use crate::task::suspension::is_cancelled;
use crate::task::waiter::{self, Wait, Waker, Woken};
use crate::task::{PanicPayload, in_tasklet, shield};

/// The reason why [`unblock`] has no result.
#[derive(Debug)]
#[non_exhaustive]
pub enum UnblockError {
    /// The closure panicked on the pool's thread; this is the payload.
    Panicked(PanicPayload),
    /// The deadline set by [`timeout`](crate::time::timeout) passed first; the closure runs on.
    TimedOut,
    /// A kill of the caller came first, inside [`kill_as_error`](crate::task::kill_as_error); the
    /// closure runs on.
    Cancelled,
    /// A signal handler ran first, inside [`interruptible`](crate::signal::interruptible); the
    /// closure runs on.
    Interrupted,
    /// The caller may not wait: it is unwinding, or inside `no_switch`. The closure was dropped.
    WouldBlock,
    /// The pool has no thread, and none can be started: the system's limit on threads or on memory
    /// is reached. The closure was dropped, since it would block this thread.
    NoThread,
}

/// The result that the pool leaves for the waiter.
enum Left<F, T> {
    /// There is no thread.
    Closure(F),
    Result(Result<T, Box<dyn Any + Send>>),
    /// The result is not wanted: the waiter has left or was parked for good.
    Nothing,
}

type Slot<F, T> = Arc<Mutex<Option<Left<F, T>>>>;

/// The slot of a waiter. If it is dropped before the waiter has taken the result, by a kill or a
/// deadline, it refuses a later result and drops one that is there. The drop is quiet, since the
/// tasklet may be unwinding, and the result never reached the program.
struct Taken<F, T>(Slot<F, T>);

impl<F, T> Drop for Taken<F, T> {
    fn drop(&mut self) {
        let unwanted = lock(&self.0).replace(Left::Nothing);
        drop_quietly(unwanted);
    }
}

/// Runs `f` on a pool of threads for blocking work, and blocks the calling tasklet only: for
/// foreign code that blocks its thread (a database driver, `getaddrinfo`, a long computation).
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
    let taken = Taken(begin(f, waker));
    match park(wait, &taken.0, waiter::deadline()) {
        Woken::Yes => {}
        Woken::TimedOut if here().is_some_and(is_cancelled) => return Err(UnblockError::Cancelled),
        Woken::TimedOut if here().is_some_and(|here| here.me().interrupted.take()) => {
            return Err(UnblockError::Interrupted);
        }
        Woken::TimedOut => return Err(UnblockError::TimedOut),
        Woken::Killed => waiter::leave(),
    }
    match left_in(&taken.0) {
        Left::Result(result) => result.map_err(panicked),
        Left::Closure(_) | Left::Nothing => Err(UnblockError::NoThread),
    }
}

/// Runs `f` on the pool as [`unblock`] does, for a job whose end the caller must see: it may work
/// on the caller's memory, say. Neither a kill, nor a deadline, nor a signal handler ends the wait.
/// `f` runs in place if the caller may not wait, or if no thread can be started; that blocks the
/// thread.
///
/// A panic of `f` goes on in the caller.
///
/// ```
/// use std::time::Duration;
/// overlapped::run(|| {
///     let sum = || overlapped::task::unblock_to_end(|| (1..=10u64).sum::<u64>());
///     assert_eq!(overlapped::time::timeout(Duration::ZERO, sum), 55);
/// }).unwrap();
/// ```
pub fn unblock_to_end<F, T>(f: F) -> T
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
        let woken = park(wait, &slot, NEVER);
        assert_eq!(woken, Woken::Yes, "nothing else ends a shielded wait without a deadline");
        match left_in(&slot) {
            Left::Result(result) => result.unwrap_or_else(|payload| resume_unwind(payload)),
            Left::Closure(f) => f(),
            Left::Nothing => unreachable!("a tasklet parked for good does not come here"),
        }
    })
}

/// Starts `f` on a pool thread. `waker` is woken when the result is there, or when `f` is given
/// back.
fn begin<F, T>(f: F, waker: Waker) -> Slot<F, T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    let slot: Slot<F, T> = Arc::new(Mutex::new(None));
    let theirs = slot.clone();
    offload::offload_and_wake(move |on| {
        let left = match on {
            On::Thread => Left::Result(catch_unwind(AssertUnwindSafe(f))),
            On::Nothing => Left::Closure(f),
        };
        let unwanted = leave(&theirs, left);
        let nobodys = (unwanted, Arc::into_inner(theirs));
        if on == On::Nothing {
            // The waiter has gone, and this is a foreign stack, on which no code of the user's
            // runs.
            std::mem::forget(nobodys);
        } else {
            // Dropped before the message is left, so that a panic in the drop cannot lose the
            // wake-up that goes with the message.
            drop_quietly(nobodys);
        }
        waker.wake_later()
    });
    slot
}

fn lock<F, T>(slot: &Slot<F, T>) -> MutexGuard<'_, Option<Left<F, T>>> {
    slot.lock()
}

/// Leaves `left` for the waiter, or returns it if it is not wanted.
fn leave<F, T>(slot: &Slot<F, T>, left: Left<F, T>) -> Option<Left<F, T>> {
    let mut slot = lock(slot);
    if matches!(*slot, Some(Left::Nothing)) {
        return Some(left);
    }
    slot.replace(left)
}

/// Waits until the pool thread has left something.
fn park<F, T>(wait: Wait, slot: &Slot<F, T>, until: u64) -> Woken {
    // A value that is there already is the user's, and must not be dropped on the scheduler's
    // stack.
    let cleanup = || std::mem::forget(lock(slot).replace(Left::Nothing));
    waiter::with_cleanup(&cleanup, || wait.park("a pool thread", until))
}

fn left_in<F, T>(slot: &Slot<F, T>) -> Left<F, T> {
    lock(slot).take().expect("the job leaves something before it wakes the waiter")
}

fn panicked(payload: Box<dyn Any + Send>) -> UnblockError {
    UnblockError::Panicked(PanicPayload::new(payload))
}

impl fmt::Display for UnblockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            UnblockError::Panicked(_) => "the closure given to unblock panicked",
            UnblockError::TimedOut => "the deadline passed before the closure was done",
            UnblockError::Cancelled => "a kill of the caller came before the closure was done",
            UnblockError::Interrupted => "a signal handler ran before the closure was done",
            UnblockError::WouldBlock => "the caller may not wait here",
            UnblockError::NoThread => "the pool has no thread, and none can be started",
        })
    }
}

impl std::error::Error for UnblockError {}
