//! Calls on files that no port does, in two kinds that must not be confused.
//!
//! - [`at_once`]: they never wait for a disk, and are made where they stand;
//! - all others: they may wait for a disk or a file server, are made on threads of the pool, and
//!   own what they use.

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
