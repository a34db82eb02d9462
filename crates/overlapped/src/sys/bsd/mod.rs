//! The BSDs, macOS among them: plain counterparts of what `linux` has, under the same names.
//!
//! Linux can be asked to read only what is in memory. The calls here answer that they cannot tell
//! (`EOPNOTSUPP`, `Unknown`), and the callers go on to a thread of the pool, as they do on Linux
//! for file systems that do not support such a read.

pub(crate) mod abi;
pub(crate) mod cache;
pub(crate) mod futex;
pub(crate) mod listing;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod splice;
pub(crate) mod status;
pub(crate) mod thread;
