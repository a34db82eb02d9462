//! The only module that calls the system, but for the ring and the poller of `driver`, and `locals`
//! (which asks the C library about its own memory).
//!
//! | folder | contents |
//! |---|---|
//! | `unix` | calls that Unix systems share: the names that the other modules use |
//! | `windows` | the same names there, as far as they are used |
//! | `errno` | questions about codes of errors, which are alike everywhere |
//! | `socket` | options of sockets, by socket2, which are alike everywhere |
//! | `linux`, `bsd` | calls that differ, under the same names (`native`), for `unix` |
//! | `lock` | the library's inner lock and condition variable |
//! | `per_process` | values that a child of fork(2) must not use, and makes anew |
//!
//! The modules above name no system. A simulated machine could take the place of this module.

#[cfg(all(unix, not(target_os = "linux")))]
mod bsd;
pub(crate) mod errno;
#[cfg(target_os = "linux")]
mod linux;
pub(crate) mod lock;
pub(crate) mod per_process;
pub(crate) mod resolve;
pub(crate) mod socket;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(all(unix, not(target_os = "linux")))]
use bsd as native;
#[cfg(target_os = "linux")]
use linux as native;
pub(crate) use system::*;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
use windows as native;
#[cfg(windows)]
use windows as system;
