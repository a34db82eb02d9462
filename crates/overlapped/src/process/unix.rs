//! The methods that `Command` and `Child` have on Unix only.

use std::ffi::OsStr;
use std::io;

use super::{Child, Command};
use crate::sys::process as host;
use crate::sys::process::CommandExt as _;

/// The counterpart of `std::os::unix::process::CommandExt`, which is sealed.
pub trait CommandExt: Sealed {
    /// Sets the child's user.
    fn uid(&mut self, id: u32) -> &mut Command;

    /// Sets the child's group.
    fn gid(&mut self, id: u32) -> &mut Command;

    /// Registers `f`, which is called in the child between fork(2) and execve(2). `spawn` returns
    /// the error of `f`.
    ///
    /// # Safety
    /// The same as in std: another thread may have held any lock at the fork, so `f` may call only
    /// functions that are async-signal-safe. It must neither allocate nor call this library.
    unsafe fn pre_exec<F>(&mut self, f: F) -> &mut Command
    where
        F: FnMut() -> io::Result<()> + Send + Sync + 'static;

    /// Replaces this process's program, and returns only if that fails. No stack is unwound, no
    /// destructor runs, and every tasklet is gone.
    fn exec(&mut self) -> io::Error;

    /// Sets the name that the program finds as its own, its argument 0.
    fn arg0<S: AsRef<OsStr>>(&mut self, arg: S) -> &mut Command;

    /// Sets the child's process group; 0 means a new one, which the child leads. Ctrl-C does not
    /// reach a new group; the [module](super) shows a remedy.
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
        // SAFETY: the caller's promise: `f` is async-signal-safe.
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
        self.leads_group = pgroup == 0;
        self.inner.process_group(pgroup);
        self
    }
}

/// The counterpart of `std::os::unix::process::ChildExt`, which is sealed (and unstable).
pub trait ChildExt: Sealed {
    /// Kills all processes of the group that the child leads, by SIGKILL: the child, and those that
    /// it has started and that have not left its group. Never waits.
    ///
    /// After a wait has returned the child's status, the number may belong to another group, so the
    /// call does nothing then. Until then the group can be killed, also if the child has ended.
    ///
    /// # Errors
    /// Those of kill(2): `ESRCH` if the child leads no group.
    ///
    /// ```
    /// use overlapped::os::unix::process::{ChildExt, CommandExt};
    /// use overlapped::process::Command;
    ///
    /// overlapped::run(|| {
    ///     let mut shell = Command::new("sh");
    ///     shell.args(["-c", "sleep 60 & sleep 60"]).process_group(0);
    ///     let mut child = shell.spawn().unwrap();
    ///     child.kill_process_group().unwrap();
    ///     assert!(!child.wait().unwrap().success());
    /// }).unwrap();
    /// ```
    fn kill_process_group(&mut self) -> io::Result<()>;
}

impl ChildExt for Child {
    fn kill_process_group(&mut self) -> io::Result<()> {
        self.kill_group()
    }
}

/// Keeps other crates from implementing [`CommandExt`] and [`ChildExt`]: they may gain methods.
pub trait Sealed {}

impl Sealed for Command {}
impl Sealed for Child {}
