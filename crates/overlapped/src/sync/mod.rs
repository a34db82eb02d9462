//! Locks, meeting points and channels that block the calling tasklet, not its thread; outside a
//! scheduler, the thread.
//!
//! They work between tasklets of one scheduler, between schedulers of different threads, and with
//! plain threads. A type with a counterpart in `std::sync` has its name and its methods, so that a
//! change of the `use` line is enough; `Arc`, `Weak` and `atomic` are std's own.
//!
//! | | |
//! |---|---|
//! | [`Mutex`], [`RwLock`] | a value for one, or for many readers |
//! | [`Condvar`] | waiting until a value has changed |
//! | [`Semaphore`] | a limited number at a time |
//! | [`Barrier`], [`Event`] | a meeting point; a flag to wait for |
//! | [`OnceLock`], [`LazyLock`] | values that are made once |
//! | [`mpsc`], [`mpmc`] | channels: each value for one receiver |
//! | [`oneshot`] | a channel for one value |
//! | [`broadcast`] | a channel: each value for all receivers |
//! | [`watch`] | a value that changes, and the news of it |
//!
//! # Common rules
//!
//! - **Order.** Waiters are served first come, first served; [`Mutex`] says how far one may be
//!   overtaken.
//! - **Kills** unwind out of a call that waits. The waiter has left its queue then, and anything
//!   that it had been given already (a lock, a permit, a notification, a wake for a value) is
//!   passed on.
//! - **Deadlines** of [`timeout`](crate::time::timeout) end the calls that can return that; calls
//!   without an error to return, such as [`Mutex::lock`], go on waiting.
//! - **Deadlocks.** While a tasklet waits here, the scheduler assumes that another thread may end
//!   the wait, so there is no deadlock report: a true deadlock waits for ever, as with std. Locks
//!   are the exception. A guard stays on its thread, so a [`Mutex`] that a tasklet of the same
//!   thread holds, or an [`RwLock`] that it writes, cannot be released from outside. A cycle of
//!   such waits is a deadlock report once nothing else on the scheduler can run; the report goes to
//!   the last waiter whose call can fail, else to [`run`](crate::run()). Until then one warning
//!   reports the cycle after a second (by `tracing`; on standard error if no subscriber wants it),
//!   and [`dump`](crate::task::dump) shows the holder of each lock.
//! - **Unwinding** tasklets never switch. A destructor could never get a lock that a neighbour
//!   holds across a wait, so the process is **aborted**, with a message that names the lock and
//!   both tasklets; use `try_lock` in destructors that run when a tasklet is killed or panics. A
//!   holder in another thread is waited for, for 20 ms. Calls that can return that they did not
//!   wait do so instead.
//! - **Inside [`no_switch`](crate::task::no_switch)** a call that would have to wait panics, or
//!   returns that it did not wait if it can.
//! - **Parked for good.** A tasklet that outlives its scheduler's grace time leaves all queues, and
//!   anything that it was given there is passed on. Locks that it holds remain locked, as if a
//!   thread of std waited for ever: a thread that wants that lock waits for ever, too.
//!
//! Std's own locks remain right if they are never held across a wait, and cost about the same.

mod barrier;
mod base; // queues, permits, locks: waiters, and the effect of a kill on them
pub mod broadcast;
mod condvar;
mod event;
pub mod mpmc;
pub mod mpsc;
mod mutex;
mod once;
pub mod oneshot;
mod rwlock;
mod semaphore;
pub mod watch;

pub use std::sync::{Arc, LockResult, PoisonError, TryLockError, TryLockResult, Weak, atomic};

pub use barrier::{Barrier, BarrierWaitResult};
pub(crate) use base::fair_lock::{FairLock, ReentrantLock};
pub(crate) use base::permits::NotAcquired;
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use once::{LazyLock, OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
