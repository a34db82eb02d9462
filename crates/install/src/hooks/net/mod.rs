//! Sockets, connections, names of hosts.

mod connections;
mod hosts;
mod names;
mod receives;
mod sends;

pub(crate) use connections::*;
pub(crate) use hosts::*;
pub(crate) use names::*;
pub(crate) use receives::*;
pub(crate) use sends::*;

/// Tells whether a transfer with these flags may wait. The error queue is never waited for.
fn may_wait(flags: std::ffi::c_int) -> bool {
    flags & (libc::MSG_DONTWAIT | libc::MSG_ERRQUEUE) == 0
}
