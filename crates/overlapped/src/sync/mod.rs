//! Locks, meetings and channels that block the calling tasklet, not its thread; outside a
//! scheduler, the thread.
//!
//! They work between tasklets of one scheduler, between schedulers of different threads, and with
//! plain threads. What has a counterpart in `std::sync` has its name and its methods, so that a
//! change of the `use` line is enough; `Arc`, `Weak` and `atomic` are std's own.
//!
//! | | |
//! |---|---|
//! | [`Mutex`], [`RwLock`] | a value for one, or for many readers |
//! | [`Condvar`] | waiting until a value has changed |
//! | [`Semaphore`] | so many at a time |
//! | [`Barrier`], [`Event`] | meeting; a flag to wait for |
//! | [`OnceLock`], [`LazyLock`] | values that are made once |
//! | [`mpsc`], [`mpmc`] | channels: each value for one receiver |
//! | [`oneshot`] | a channel for one value |
//! | [`broadcast`] | a channel: each value for all receivers |
//! | [`watch`] | a value that changes, and the news of it |
//!
//! # What holds for all of them
//!
//! - **Order.** Who waits is served first come, first served; [`Mutex`] says how far one may be
//!   overtaken.
//! - **Kills** unwind out of a call that waits. The waiter has left its queue then, and what it had
//!   been given already (a lock, a permit, a notification, the news of a value) is passed on.
//! - **Deadlines** of [`timeout`](crate::time::timeout) cut the calls that can say so; calls
//!   without an error to return, such as [`Mutex::lock`], are not cut.
//! - **Deadlocks.** While somebody waits here, the scheduler takes it that another thread may end
//!   the wait, so there is no verdict: a true deadlock waits for ever, as with std. Locks are the
//!   exception: a guard stays on its thread, so a [`Mutex`], or an [`RwLock`] that is written, that
//!   is held by a tasklet of the same thread is no hope. A cycle of such waits is a verdict once
//!   nothing else on the scheduler can run; the last waiter is told whose call can fail, else
//!   [`run`](crate::run()). Until then a warning tells of it after a second, once (by `tracing`;
//!   on standard error where no subscriber wants it), and [`dump`](crate::task::dump) shows who has
//!   locked what.
//! - **Unwinding** tasklets never switch. A destructor that comes to a lock which a neighbour holds
//!   across a wait could never have it, so the process is **aborted**, with a message that names
//!   the lock and both tasklets; use `try_lock` in destructors of what may be killed or may panic.
//!   A holder in another thread is waited for, for 20 ms. Calls that can say that they did not wait
//!   say so instead.
//! - **Inside [`no_switch`](crate::task::no_switch)** a call that would have to wait panics, or
//!   says that it did not wait where it can.
//! - **Parked for good.** A tasklet that outlives its scheduler's grace time leaves all queues, and
//!   what it was given there is passed on. What it holds remains held, as by a thread of std that
//!   waits for ever: whoever wants that lock, in another thread, waits for ever, too.
//!
//! Std's own locks remain right for what is never held across a wait, and cost about the same.

mod barrier;
mod base;
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
pub use condvar::{Condvar, WaitTimeoutResult};
pub use event::Event;
pub use mutex::{Mutex, MutexGuard};
pub use once::{LazyLock, OnceLock};
pub use rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
