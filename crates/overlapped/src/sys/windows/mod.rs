//! Windows: what `unix` has, under the same names, as far as the modules above use it there.
//!
//! Sockets and handles are different things here. A [`Raw`](descriptor::Raw) is a socket's number;
//! files go by std's own calls, on threads of the pool.

pub(crate) mod address;
pub(crate) mod clock;
pub(crate) mod descriptor;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod memory;
pub(crate) mod message;
pub(crate) mod overflow;
pub(crate) mod readiness;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod thread;
