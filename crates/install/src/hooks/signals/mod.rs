//! Signals: handlers, jumps out of them, and waits for signals.

mod handlers;
mod jumps;
mod waits;

pub(crate) use handlers::*;
pub(crate) use jumps::*;
pub(crate) use waits::*;
