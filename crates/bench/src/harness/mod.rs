//! Instruments: child processes and servers under test, the load, and meters of memory, system
//! calls and processor time.
//!
//! No file here knows a suite or a subject, except by its name.

pub(crate) mod child;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod passes;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod stats;
pub(crate) mod syscalls;
