//! Tasklets: spawn, join, kill, scopes, and the one point where they wait.
//!
//! A tasklet is a closure on a stack of its own that runs until it waits for something; then
//! another one runs on the same thread. It never changes thread (second law).
//!
//! | | |
//! |---|---|
//! | [`spawn`], [`Builder`], [`scope`] | begin one |
//! | [`Tasklet`], [`Remote`] | join, kill, pause; from this thread, from others |
//! | [`yield_now`], [`pause`] | give way |
//! | [`shield`], [`no_switch`] | hold kills off; forbid waiting |
//! | [`unblock`] | foreign blocking code, on a pool thread |
//! | [`Local`] | tasklet-local values |
//! | [`dump`], [`stats`], [`Observer`] | look inside |

mod entry;
mod handle;
mod inspect;
mod local;
mod modes;
mod remote;
mod scope;
mod spawn;
pub(crate) mod wait;

pub use entry::{Config, RunError, run, run_until};
pub use handle::{Current, JoinError, PauseError, Remote, Tasklet, TaskletId};
pub use inspect::{Dump, DumpLine, Stats, dump, stats};
pub use local::Local;
pub(crate) use handle::take_verdict;
pub(crate) use modes::exit_now;
pub use modes::{
    TaskletExit, current, in_tasklet, no_switch, pause, shield, yield_now,
};
pub use remote::{UnblockError, unblock};
pub use scope::{Scope, ScopedTasklet, scope};
pub use spawn::{Builder, SpawnError, spawn};

pub use crate::sched::{ChannelEvent, Observer, Verdict, Waiter};
pub use crate::stack::Guards;
