//! Calls on files that no port does, in two kinds that must not be confused.
//!
//! - [`at_once`]: they never wait for a disk, and are made where they stand;
//! - all others: they may wait for a disk or a file server, are made on threads of the pool, and
//!   own what they use.

mod blocking;
mod copy;
mod listing;
pub(crate) mod nonblocking;
pub(crate) mod status;
pub(crate) mod transfer;
mod tree;

pub(crate) use blocking::*;

/// A path as the system takes it: it ends in a zero byte.
pub(crate) type RawPath = *const std::ffi::c_char;

/// Makes `call` again where a signal interrupted it.
fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> rustix::io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            result => return result,
        }
    }
}
