//! Waits for work outside of the port: on a thread of the pool, on a thread of its own, or at once
//! on the calling thread.

mod in_place;
mod job;
mod tries;
mod unblock;

pub(crate) use in_place::{DiskCall, begin_call, begin_disk_call, in_place};
pub(crate) use job::{Stop, on_interruptible_thread, on_pool};
pub(crate) use tries::{record_speculation, speculates, try_in_turn};
pub use unblock::{UnblockError, unblock, unblock_to_end};
