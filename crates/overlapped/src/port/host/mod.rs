//! Calls that concern the whole process rather than one descriptor: children, signals.
//!
//! As in `control`, none of them waits for what another process or the network does, except where
//! the name says so: those run on plain threads only.

pub(crate) mod interrupts;
pub(crate) mod process;
pub(crate) mod signals;
pub(crate) mod sigpipe;
pub(crate) mod terminal;
pub(crate) mod thread_end;
pub(crate) mod threads;
