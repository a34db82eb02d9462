//! Tasklets as the scheduler sees them: the control block, its parts, and the nodes by which
//! tasklets wait for each other.
//!
//! | file | what it has |
//! |---|---|
//! | `block` | the control block: state, what the tasklet waits for, the list of its scope |
//! | `wait_node` | wait nodes, the queues of a channel, the state of a select |
//! | `queue` | the intrusive queues of blocks and of nodes |
//! | `timers` | the deadlines of all tasklets |
//! | `holder` | the tasklet that holds a lock |
//! | `cleanup`, `trace` | a waiting tasklet's duties to others; the place for its backtrace |
//! | `counts` | why no count wraps |

mod block;
mod cleanup;
pub(super) mod counts;
mod holder;
mod queue;
mod timers;
mod trace;
mod wait_node;

pub(crate) use block::{
    Awaited, DEPTH_MAX, Ending, Locals, NEVER, Origin, ScopeState, Span, State, Tcb, TcbPtr,
    VTable, Waiting, node_of, release, retain,
};
pub(super) use block::{order_for_handler, tcb_of};
pub(super) use cleanup::Cleanup;
pub(super) use counts::new_number;
pub(crate) use holder::{Holder, LockKind, LockWait, thread_number};
pub(crate) use queue::Queue;
pub(super) use timers::Timers;
pub(crate) use trace::Trace;
pub(crate) use wait_node::{
    Alternative, JoinWaiter, Registration, SelectState, WaitNodePtr, WaitQueue, Wake,
};
