//! Signals: handlers, and waits for signals.

mod handlers;
mod waits;

pub(crate) use handlers::*;
pub(crate) use waits::*;
