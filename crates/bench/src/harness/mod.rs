//! Instruments: child processes and servers under test, the load, and what is counted (memory,
//! system calls, processor time).
//!
//! It knows no suite and no subject, only their names.

pub(crate) mod child;
pub(crate) mod load;
pub(crate) mod memory;
pub(crate) mod passes;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod stats;
pub(crate) mod syscalls;
