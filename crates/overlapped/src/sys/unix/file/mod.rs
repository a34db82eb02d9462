//! Calls on files, in kinds that must not be confused.
//!
//! | file | calls |
//! |---|---|
//! | `nonblocking` | never wait for a disk, and are made on the tasklet's own thread |
//! | `transfer`, `calls` | operations of a driver; may wait for a disk, never for another process |
//! | all others | may wait for a disk or a file server, on threads of the pool; own their data |

mod blocking;
pub(crate) mod calls;
mod copy;
mod listing;
pub(crate) mod mode;
pub(crate) mod nonblocking;
pub(crate) mod transfer;
mod tree;

pub(crate) use crate::sys::native::abi::{AT_EMPTY_PATH, O_PATH};
pub(crate) use crate::sys::native::status;
pub(crate) use blocking::*;

/// A path as the system takes it: it ends in a zero byte.
pub(crate) type RawPath = *const std::ffi::c_char;
