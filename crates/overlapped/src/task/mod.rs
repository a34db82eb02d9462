//! Tasklets: spawn, join, kill, scopes, and the one point where they wait.
//!
//! A tasklet is a closure on a stack of its own. It runs until it waits for something; then another
//! one runs on the same thread. A tasklet never changes thread.
//!
//! | | |
//! |---|---|
//! | [`spawn`], [`Builder`], [`scope`] | begin one |
//! | [`place`], [`place_on_each`], [`Spawner`] | begin one on another thread's scheduler |
//! | [`Tasklet`], [`Placed`], [`Remote`] | join, kill, pause; from this thread, from others |
//! | [`wait_any`], [`wait_all`], [`TaskletGroup`] | many of them |
//! | [`map`], [`map_unordered`], [`par_map`] | one for each item, a limited number at a time |
//! | [`yield_now`], [`pause`] | let others run |
//! | [`shield`], [`kill_as_error`], [`no_switch`] | hold kills off, return them; forbid waiting |
//! | [`unblock`] | foreign blocking code, on a pool thread |
//! | [`block_on`] | futures |
//! | [`Local`] | tasklet-local values |
//! | [`dump`], [`stats`], [`Observer`] | inspect a scheduler |

// | file | what it has |
// |---|---|
// | `suspension/` | the suspension point: permission to wait, the switch, the delivery of kills |
// | `begin`, `wait` | the beginning of an operation; `perform`, which waits for its end |
// | `waiter` | one wait that any thread may end: the base of `sync` |
// | `modes` | yield, pause, shield, `no_switch` |
// | `spawn/` | `spawn`, and what a handle can do: join, kill, pause |
// | `runtime/`, `select/`, `blocking/` | `run`; waits for several events; calls on pool threads |
// | `group/`, `future/`, `local` | groups and `map`; futures; tasklet-local values |
// | `inspect`, `payload` | dumps and counts; the payload of a panic |

mod begin;
pub(crate) mod blocking;
mod future;
mod group;
mod inspect;
mod local;
mod modes;
mod payload;
mod runtime;
pub(crate) mod select;
mod spawn;
pub(crate) mod suspension;
pub(crate) mod wait;
pub(crate) mod waiter;

pub use blocking::{UnblockError, unblock, unblock_to_end};
pub use future::block_on;
pub use group::{Map, MapUnordered, ParMap, TaskletGroup, map, map_unordered, par_map};
pub use inspect::{Dump, DumpLine, Stats, dump, running_on, stack_used, stats};
pub use local::Local;
pub(crate) use local::{drop_locals, identity, is_first};
pub(crate) use modes::{
    cooperative_yield, count_busy_call, ended_by_all_handlers, interruptible, port_does, request,
    scheduler_number,
};
pub use modes::{
    in_tasklet, is_killed, kill_as_error, may_wait, no_switch, pause, shield, yield_now,
};
pub use payload::PanicPayload;
pub use runtime::{Config, RunError, run, run_until};
pub use select::{Joinable, WaitError, wait_all, wait_any};
pub(crate) use spawn::scope_or_panic;
pub use spawn::{
    Builder, Current, JoinError, PauseError, Placed, Remote, Scope, ScopedTasklet, SpawnError,
    Spawner, Tasklet, TaskletId, current, place, place_on, place_on_each, schedulers, scope, spawn,
    spawner,
};
pub use suspension::{Cancelled, TaskletExit};
pub(crate) use suspension::{
    CannotWait, cancelled_wait, take_deadlock_report, would_wait_while_unwinding,
};

pub use crate::sched::{ChannelEvent, DeadlockReport, Observer, Waiter};
pub use crate::stack::Guards;
pub use crate::watchdog::{Stall, Stalled};
/// The bytes of a stack that its code cannot use: the guard, and the shift of its first frame
/// (`stack::colour`).
pub(crate) const STACK_OVERHEAD: usize = crate::stack::GUARD + crate::stack::COLOUR_MAX;
