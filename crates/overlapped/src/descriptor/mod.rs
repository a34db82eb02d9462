//! The state of an open descriptor that the library keeps beside the kernel's: mode, limits, kind,
//! and the queue for the cursor.
//!
//! ```text
//! net::Socket ──┐                                 ┌── a clone of either
//! fs::File ─────┴──▶ Arc<State> ◀─────────────────┘
//! ```
//!
//! All handles to one open file share a [`State`], since they share these things in the kernel.
//! This module is below `net`, `fs` and `pipe`. A state holds no descriptor.
//!
//! Two other parts of the library deal with cursors and do not use this queue. The ring's driver
//! corrects a cursor that the kernel has not moved. It must do so before it returns the completion,
//! and also for callers that have no `State`. The public port orders operations by file, since its
//! callers have descriptors and no handles of this library. It must not wait, so its queue holds
//! operations instead of tasklets.

mod readiness;
mod state;
mod turn;

pub(crate) use readiness::{send, send_on_unix_socket, wait_ready, wait_writable};
pub(crate) use state::{Limit, State};
pub(crate) use turn::Turn;
