//! What Unix adds to `Command`.

use std::ffi::OsStr;
use std::io;

use super::Command;
use crate::port::host::process::{self as host, CommandExt as _};

/// The counterpart of `std::os::unix::process::CommandExt`, which is sealed.
pub trait CommandExt: Sealed {
    /// The child's user.
    fn uid(&mut self, id: u32) -> &mut Command;

    /// The child's group.
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Has `f` called in the child between fork(2) and execve(2). An error from it is the one that
    /// `spawn` returns.
    ///
    /// # Safety
    /// As std's: another thread may have held any lock at the fork, so `f` may call nothing but
    /// what is async-signal-safe: it must neither allocate nor call anything of this library.
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Replaces this process's program, and returns only where that fails. Nothing is unwound, no
    /// destructor runs, and every tasklet is gone.
    fn exec(&mut self) -> io::Error;

    /// What the program finds as its own name, its argument 0.
    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command;

    /// The child's process group; 0: a new one.
    fn process_group(&mut self, pgroup: i32) -> &mut Command;
}

impl CommandExt for Command {
    fn uid(&mut self, id: u32) -> &mut Command {
        self.inner.uid(id);
        self
    }

    fn gid(&mut self, id: u32) -> &mut Command {
        self.inner.gid(id);
        self
    }

    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static,
    {
        // SAFETY: handed on to the caller.
        unsafe { self.inner.pre_exec(f) };
        self
    }

    fn exec(&mut self) -> io::Error {
        host::exec(&mut self.inner)
    }

    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command {
        self.inner.arg0(arg);
        self
    }

    fn process_group(&mut self, pgroup: i32) -> &mut Command {
        self.inner.process_group(pgroup);
        self
    }
}

/// Nobody else implements [`CommandExt`]: it may gain methods.
pub trait Sealed {}

impl Sealed for Command {}
