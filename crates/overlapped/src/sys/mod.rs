//! The only room that calls the system, but for `stack` and `locals` (memory, registers), the
//! threads of `offload`, and the ring and the poller of `driver`.
//!
//! | folder | what is in it |
//! |---|---|
//! | `unix` | what Unix systems share: the names that the other rooms use |
//! | `linux`, `bsd` | what each has in its own way, under the same names (`native`), for `unix` |
//! | `lock` | the library's inner lock and condition variable |
//! | `per_process` | what a child of fork(2) must not use, and has made anew |
//!
//! A room above names no system. Here a simulated machine could stand in.

#[cfg(all(unix, not(target_os = "linux")))]
mod bsd;
pub(crate) mod clock;
#[cfg(target_os = "linux")]
mod linux;
pub(crate) mod lock;
pub(crate) mod per_process;
pub(crate) mod resolve;
#[cfg(unix)]
mod unix;

#[cfg(all(unix, not(target_os = "linux")))]
use bsd as native;
#[cfg(target_os = "linux")]
use linux as native;
#[cfg(unix)]
pub(crate) use unix::*;
