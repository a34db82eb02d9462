//! Calls that Unix systems share.

pub(crate) mod clock;
pub(crate) mod descriptor;
pub(crate) mod errno;
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod readiness;
pub(crate) mod signal;
pub(crate) mod socket;
pub(crate) mod splice;
pub(crate) mod terminal;
pub(crate) mod thread;

pub(crate) use socket::{address, message};
