//! The functions of libc that this crate replaces, by kind.
//!
//! Each one that may block first tests whether its caller is a tasklet of this crate
//! ([`Call`](crate::caller::Call)). For every other caller it makes the system call that libc would
//! make, or calls libc. Functions that wake waiters, install signal handlers or jump do the same
//! for every caller.
//!
//! The callers of all of them promise what libc's manual pages demand. A panic in an `extern "C"`
//! function ends the process; only pthread_once(3) and call_once(3) let an exception of the
//! program's routine pass.
//!
//! A program that is linked statically (`crt-static`) gets none of their names. Each object file of
//! libc.a defines several functions, so linking one would define some names twice, and dlsym(3)
//! could find no next function.

mod children;
mod files;
mod net;
mod pthread;
mod queues;
mod readiness;
mod signals;
mod stdio;
mod syscall;
mod time;

pub(crate) use children::*;
pub(crate) use files::*;
pub(crate) use net::*;
pub(crate) use pthread::*;
pub(crate) use queues::*;
pub(crate) use readiness::*;
pub(crate) use signals::*;
pub(crate) use stdio::*;
pub(crate) use syscall::*;
pub(crate) use time::*;

/// Ends the process if a buffer would overflow, as libc does in fortified C.
fn must_fit(len: usize, room: usize) {
    if len > room {
        std::process::abort();
    }
}
