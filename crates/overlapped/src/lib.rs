//! Blocking Rust with overlapped I/O.
pub mod chan;
pub mod net;
pub mod port;
pub mod task;
pub mod time;

mod op;
mod sched;
mod stack;
mod switch;

pub use chan::{Channel, Handover, RecvError, SendError};
pub use task::{
    Builder, Config, JoinError, Remote, RunError, SpawnError, Tasklet, current, run, run_until,
    scope, spawn, yield_now,
};
