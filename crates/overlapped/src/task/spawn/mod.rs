//! Spawning: a closure becomes a tasklet, and the spawner gets a handle.
//!
//! ```text
//! Builder::spawn ──▶ make (Task<F, T>) ──▶ Sched::adopt: the ready queue
//! Scope::spawn   ──▶ the same, linked into the scope
//! place          ──▶ the inbox of another scheduler ──▶ make, there
//! ```
//!
//! | file | what it has |
//! |---|---|
//! | `task` | the closure and its result, in one allocation with the control block |
//! | `builder`, `scope`, `place` | spawning: here, within a frame, on another thread's scheduler |
//! | `handle`, `remote` | what a handle can do: join, kill, pause; from this thread, from others |
//! | `id` | the number of a tasklet |
//! | `error` | the errors of spawning, joining and pausing |

mod builder;
mod error;
mod handle;
mod id;
mod place;
mod remote;
mod scope;
mod task;

pub(super) use builder::admit;
pub use builder::{Builder, spawn};
pub use error::{JoinError, PauseError, SpawnError};
pub use handle::{Current, Tasklet, current};
pub use id::TaskletId;
pub(super) use place::place_for;
pub use place::{Placed, Spawner, place, place_on, place_on_each, schedulers, spawner};
pub use remote::Remote;
pub(crate) use scope::scope_or_panic;
pub use scope::{Scope, ScopedTasklet, scope};
pub(super) use task::{Made, Returned, make};
