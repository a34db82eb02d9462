//! The suspension point: a tasklet leaves its stack here and nowhere else.
//!
//! ```text
//! checkpoint       a kill is pending? may this tasklet wait at all?
//!    │
//! park(…)          waits: for an operation, a channel, a join, a deadline, another thread's wake
//! yield_turn()     stays ready, lets the others run
//!    └──▶ suspend() ──▶ Here::depart ──▶ Sched::leave_stack (sched/run/): the next one in the
//!    │                  queue, or the hub … ──▶ back in suspend()
//! deliver_kill     a kill has come meanwhile? ──▶ exit_now: unwinds
//! ```
//!
//! | the tasklet is | a call that returns errors | one that has none |
//! |---|---|---|
//! | unwinding, or in its last drops | one try, then an error | returns, or aborts |
//! | unwinding, in `kill_as_error`, with thread-locals of its own | waits | waits |
//! | inside `no_switch` | the same | panics |
//! | to be killed | unwinds | unwinds |
//! | to be killed, in `kill_as_error` | an error, at once | waits |
//! | to be killed, in a `shield` | waits | waits |
//!
//! Each file uses those before it:
//!
//! | file | what it has |
//! |---|---|
//! | `point` | parking, yielding, and the switch under both |
//! | `kill` | whether a kill takes effect now, and the unwinding |
//! | `cannot_wait` | the errors of calls that may not wait, or wait no longer |
//! | `checkpoint` | the check before a wait |

mod cannot_wait;
mod checkpoint;
mod kill;
mod point;

pub use cannot_wait::Cancelled;
pub(crate) use cannot_wait::{CannotWait, cancelled_wait, would_wait_while_unwinding};
pub(super) use cannot_wait::{deadline_passed, interrupted, killed, timed_out, too_many};
pub(crate) use checkpoint::{checkpoint, checkpoint_without_error};
pub use kill::TaskletExit;
pub(crate) use kill::{deliver_kill, is_cancelled};
pub(super) use kill::{is_doomed, is_held_by_panic};
pub(super) use point::yield_turn;
pub(crate) use point::{park, suspend, take_deadlock_report};
