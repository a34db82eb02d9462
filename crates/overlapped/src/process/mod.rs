//! Child processes with std's own names, blocking only the calling tasklet.
//!
//! ```text
//! Command::spawn ─▶ std's Command (sys/unix/process.rs)     an immediate call: fork and exec
//! Child::wait    ─▶ pidfd: readable at the end ─▶ waitid without waiting releases the child
//! ChildStdout …  ─▶ reads and writes of the port, as all pipes
//! ```
//!
//! | here | as in std, and |
//! |---|---|
//! | [`Command`], [`CommandExt`] | [`Command::kill_on_drop`]; a twin: std's trait is sealed |
//! | [`Child`], [`ChildExt`] | a wait that is killed or timed out has changed nothing: wait again |
//! | [`PartialOutput`] | the bytes read before `output` failed, inside its error |
//! | [`ChildStdin`], [`ChildStdout`], [`ChildStderr`] | any number of tasklets may wait on one |
//! | [`Stdio`], [`Output`], [`ExitStatus`], … | std's own types |
//!
//! A dropped [`Child`] runs on, as in std, and is not released until this process ends, unless
//! [`Command::kill_on_drop`] is set.
//!
//! # Ctrl-C while children run
//!
//! A terminal sends Ctrl-C to all processes of its foreground group, children among them, unless
//! they have groups of their own. To end the processes that children have started as well, give
//! each child a group, and have the signal end the tasklets that wait for the children: a killed
//! wait drops its [`Child`], which kills the group.
//!
//! ```no_run
//! use overlapped::os::unix::process::CommandExt;
//! use overlapped::{process::Command, run_until, signal, spawn};
//!
//! // The tasklets that are left when the closure returns are killed.
//! run_until(|| {
//!     for n in 0..10 {
//!         spawn(move || {
//!             let mut job = Command::new("sh");
//!             job.args(["-c", "make -j4"]).current_dir(format!("project-{n}"));
//!             println!("{n}: {:?}", job.process_group(0).kill_on_drop(true).status());
//!         });
//!     }
//!     signal::ctrl_c()
//! }).unwrap().unwrap();
//! ```
//!
//! A killed wait also drops the child's output. To keep it, do not kill the tasklets: take
//! [`Child::stdout`] before, and have the first tasklet call
//! [`ChildExt::kill_process_group`](crate::os::unix::process::ChildExt); the reads then end.
//!
//! A signal that is not handled (SIGTERM here, or SIGKILL) ends this process alone.
//!
//! If pidfd_open(2) is refused (before Linux 5.3, or by a filter), a thread of the pool waits for
//! the child's end, and does not release it. Outside a scheduler every call blocks the thread, as
//! std's do.

mod both_outputs;
mod child;
mod command;
mod output;
mod pipe;
mod unix;

pub use child::Child;
pub use command::Command;
pub use output::PartialOutput;
pub use pipe::{ChildStderr, ChildStdin, ChildStdout};
pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort,
};
pub use unix::{ChildExt, CommandExt};

pub use crate::sys::process::{exit, id};
