//! Windows: the names of `unix`, as far as the modules above use them there.
//!
//! Sockets and handles are different things here. A [`Raw`](descriptor::Raw) is a socket's number;
//! files go by std's own calls, on threads of the pool.

mod absent;
pub(crate) mod clock;
pub(crate) mod descriptor;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod futex;
pub(crate) mod memory;
pub(crate) mod readiness;
pub(crate) mod socket;
pub(crate) mod terminal;
pub(crate) mod thread;

pub(crate) use absent::signal;
pub(crate) use memory::overflow;
pub(crate) use socket::{address, message};
