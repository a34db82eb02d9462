//! The state of an open descriptor that the library keeps beside the kernel's: mode, limits, kind,
//! and the queue for the cursor.
//!
//! ```text
//! net::Socket ──┐                                 ┌── a clone of either
//! fs::File ─────┴──▶ Arc<State> ◀─────────────────┘
//! ```
//!
//! All handles to one open file share a [`State`], since they share these things in the kernel. It
//! stands below `net`, `fs` and `pipe`, and knows no descriptor: code that has only a number can
//! look its state up in a table.
//!
//! Two other parts of the library deal with cursors, and are not this queue. The ring's driver puts
//! a cursor right that the kernel has not moved: it must do so before the completion is handed out,
//! and for operations of callers that have no `State`. The public port orders operations by file,
//! since its callers own descriptors and no handles of this library, and its queue holds operations
//! instead of tasklets: it must not wait.

mod cursor;
mod state;
mod turn;
mod writable;

pub(crate) use state::{Limit, State};
pub(crate) use turn::Turn;
pub(crate) use writable::{send, send_on_unix_socket, wait_writable};
