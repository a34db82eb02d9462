//! Waits for work outside of the port: on a thread of a pool, or at once, in place.

mod in_place;
mod job;
mod tries;
mod unblock;

pub(crate) use in_place::{DiskCall, begin_call, begin_disk_call, in_place};
pub(crate) use job::{Stop, on_interruptible_thread, on_pool};
pub(crate) use tries::{record_speculation, speculates, try_in_turn};
pub use unblock::{UnblockError, unblock, unblock_to_end};
