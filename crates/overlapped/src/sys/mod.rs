//! The only room that calls the system, but for `stack` and `locals` (memory, registers).
//!
//! Each system has a folder with the same names in it, so that whoever is above names no system.
//! Here a simulated machine could stand in.

pub(crate) mod clock;
pub(crate) mod lock;
pub(crate) mod resolve;
#[cfg(unix)]
mod unix;

#[cfg(unix)]
pub(crate) use unix::*;
