//! Parts of Linux that other systems lack or spell differently. `bsd` has the same names.

pub(crate) mod abi;
pub(crate) mod cache;
pub(crate) mod futex;
pub(crate) mod listing;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod splice;
pub(crate) mod status;
pub(crate) mod thread;
