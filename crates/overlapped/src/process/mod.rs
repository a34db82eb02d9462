//! Child processes with std's own names, blocking only the calling tasklet.
//!
//! ```text
//! Command::spawn ─▶ std's Command (port/host)     an immediate call: fork and exec
//! Child::wait    ─▶ pidfd: readable at the end ─▶ waitid without waiting releases the child
//! ChildStdout …  ─▶ reads and writes of the port, as all pipes
//! ```
//!
//! | here | as in std, and |
//! |---|---|
//! | [`Command`], [`CommandExt`] | [`Command::kill_on_drop`]; a twin: std's trait is sealed |
//! | [`Child`] | a wait that is killed or timed out has changed nothing: wait again |
//! | [`ChildStdin`], [`ChildStdout`], [`ChildStderr`] | any number of tasklets may wait on one |
//! | [`Stdio`], [`Output`], [`ExitStatus`], … | std's own types |
//!
//! A dropped [`Child`] runs on, as in std, and nobody releases it until this process ends, unless
//! [`Command::kill_on_drop`] asked for its end.
//!
//! Where pidfd_open(2) is refused (before Linux 5.3, or by a filter), a thread of the pool waits
//! for the child's end, and releases nothing. Outside a scheduler every call blocks the thread, as
//! std's do.

mod child;
mod command;
mod gather;
mod pipe;
mod unix;

pub use child::Child;
pub use command::Command;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort,
};
pub use unix::CommandExt;

pub use crate::port::host::process::{exit, id};
