//! `std::thread` on tasklets: a change of the `use` line turns a program's threads into tasklets of
//! the thread that called [`run`](crate::run()).
//!
//! | std's | here |
//! |---|---|
//! | [`spawn`], [`Builder`], [`JoinHandle`] | a tasklet; its handle may go to any thread |
//! | [`scope`], [`Scope`], [`ScopedJoinHandle`] | tasklets that borrow from their parent |
//! | [`current`], [`Thread`], [`ThreadId`] | the calling tasklet; outside a scheduler, the thread |
//! | [`park`], [`park_timeout`], [`Thread::unpark`] | with std's one token |
//! | [`sleep`], [`yield_now`] | of the calling tasklet |
//! | [`panicking`], [`available_parallelism`] | std's own |
//! | [`LocalKey`], `thread_local!` | std's own: one value for each *thread*, see below |
//!
//! The differences:
//!
//! - Closures need not be `Send`, since a tasklet does not change thread. So there is no
//!   parallelism either: a computation stops the others until it waits or calls [`yield_now`].
//!   [`task::place`](crate::task::place) and [`task::unblock`](crate::task::unblock) use other
//!   threads.
//! - A `thread_local!` is shared by the tasklets of its thread, but for those with [thread-locals
//!   of their own](crate::Builder::own_thread_locals); [`task::Local`](crate::task::Local) is one
//!   value for each tasklet. ([`panicking`] is right all the same: a tasklet that unwinds never
//!   switches.)
//! - Tasklets are not preempted: a loop that never waits keeps the thread. Calls that could have
//!   waited let others run every few hundred times in such a loop (the failing `try_…` of
//!   [`sync`](crate::sync), `send` of [`mpsc`](crate::sync::mpsc)); loops over atomics need
//!   [`yield_now`].
//! - Names are the tasklets' own: the system's thread keeps its name (pthread_getname_np(3)). The
//!   first tasklet has that of the thread that called [`run`](crate::run()).
//! - Outside a scheduler [`spawn`] panics and [`Builder::spawn`] is an error.
//! - [`run`](crate::run()) waits for every tasklet, also for detached ones;
//!   [`run_until`](crate::run_until) kills them, as the end of `main` does with threads.
//! - A tasklet can be killed. A join of it gets a [`JoinError`](crate::JoinError) as the payload.
//! - The stack is the scheduler's, 192 KiB by default, not 2 MiB; see [`Builder::stack_size`].
//! - While a tasklet waits in [`JoinHandle::join`] or [`park`] there is no deadlock report: any
//!   thread may end the wait. ([`Tasklet::join`](crate::Tasklet::join) returns deadlock reports.)
//!
//! ```
//! use overlapped::thread; // Was: std::thread.
//!
//! overlapped::run(|| {
//!     let handle = thread::spawn(|| {
//!         thread::park();
//!         6 * 7
//!     });
//!     handle.thread().unpark();
//!     assert_eq!(handle.join().unwrap(), 42);
//! }).unwrap();
//! ```

mod builder;
mod handle;
mod scoped;
mod this;

pub use crate::sys::thread::available_parallelism;
pub use std::thread::{AccessError, LocalKey, Result, panicking};

pub use builder::{Builder, spawn};
pub use handle::JoinHandle;
pub use scoped::{Scope, ScopedJoinHandle, scope};
pub use this::{Thread, ThreadId, current, park, park_timeout};

pub use crate::task::yield_now;
pub use crate::time::sleep;
