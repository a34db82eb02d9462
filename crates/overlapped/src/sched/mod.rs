//! The scheduler: which tasklets are ready, what the others wait for, and the loop between them and
//! the port.
//!
//! ```text
//!            spawn ──▶ ready queue ──▶ run (run/): one switch    ──▶ the tasklet
//!                          ▲                                          │ park (task/suspension/)
//!                          │ wake                                     ▼
//!   port completions ──────┤                              waiting: op, channel, join, time …
//!   due timers ────────────┤
//!   inbox (other threads) ─┘
//! ```
//!
//! Each thread of a run has one scheduler: the thread that called [`run`](crate::run), and those
//! that it started. The schedulers of a run are a [`Group`]. Only its own thread touches a
//! scheduler, except for the [`Inbox`]. The scheduler runs no code of the user's (`hub.rs`):
//! closures, results and locals are dropped on a tasklet's stack.
//!
//! | file | what it has |
//! |---|---|
//! | `state` | the fields, and what the rooms above read and count |
//! | `living` | the list of living tasklets: adopt, visit, unlist |
//! | `parking` | parking and waking, also for other threads; the ready queue |
//! | `here` | the scheduler of the calling tasklet |
//! | `tasklet/` | the control block; wait nodes, queues, selects; timers; holders of locks |
//! | `select` | the completion of a wait: of one for one event, and of a select |
//! | `run/` | the loop, the way off a stack and back, stacks, thread-locals of a tasklet's own |
//! | `idle/` | polling and sleeping; the inbox; the group; requests of signal handlers |
//! | `cancel` | kills, deadlines and the end of a wait before its event |
//! | `deadlock/` | whether anything can still wake a tasklet, and the report if not |
//! | `observer/` | callbacks, and what dumps and signal handlers read |
//! | `abandon/` | tasklets that outlive the grace time of a shutdown |
//! | `hub` | the rules that keep the user's code off the scheduler's own stack |
//! | `enter` | the beginning and the end of a scheduler |
//!
//! A shutdown has four steps: (1) `ending` is set and all tasklets are killed; (2) the loop goes on
//! until all have ended; (3) tasklets that outlive the grace time are abandoned (`abandon/`); (4)
//! the port is drained and closed.

mod abandon;
mod cancel;
mod deadlock;
mod enter;
mod here;
mod hub;
mod idle;
mod living;
mod observer;
mod parking;
mod run;
mod select;
mod state;
mod tasklet;

pub use deadlock::{DeadlockReport, Waiter};
pub(crate) use enter::{AbortOnUnwind, RunEnd, Setup, open};
pub(crate) use here::{Here, here};
pub(crate) use hub::{assert_off_hub, drop_locals, drop_quietly, end_locals, is_occupied};
pub(crate) use idle::{Group, Inbox, Intake, Job, Message, Refused, RemoteLink, interrupts};
pub(crate) use observer::report_overflows;
pub use observer::{ChannelEvent, Observer};
pub(crate) use state::{FIRST_ID, Sched, SchedConfig};
pub(crate) use tasklet::{
    Alternative, Awaited, DEPTH_MAX, Ending, Holder, JoinWaiter, Locals, LockKind, LockWait, NEVER,
    Origin, Queue, Registration, ScopeState, SelectState, Span, State, Tcb, TcbPtr, Trace, VTable,
    WaitNodePtr, WaitQueue, Waiting, Wake, node_of, release, retain, thread_number,
};
