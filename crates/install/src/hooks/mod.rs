//! The functions of libc that this crate takes the place of, by kind.
//!
//! Each one asks first whether its caller is a tasklet of ours ([`here`](crate::scope::here)); for
//! everybody else it makes the system call that libc would make. None unwinds: a panic in an
//! `extern "C"` function ends the process.

mod sockets;
mod streams;
mod syscall;
pub(crate) mod time;
