//! Child processes, by std's own `Command` and `Child`.
//!
//! Starting one (fork(2), or posix_spawn(3) if nothing forbids it, then execve(2)) is an immediate
//! call: it returns when the child runs its program, or when that has failed. This takes as long as
//! the system takes to open the program. The child's later end is an event like any other, waited
//! for through a descriptor (of the process on Linux, of a kqueue on a BSD).
//!
//! A child is *released* (reaped) when its status is taken from the system, which may then give its
//! number to another process.

use std::io;
use std::os::fd::OwnedFd;
use std::process::ExitStatus;

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions};

use crate::sys::native;
pub(crate) use crate::sys::native::process::AnyReadable;
use crate::sys::signal::sigpipe;

pub(crate) use std::os::unix::process::CommandExt;
pub(crate) use std::process::{Child, Command};
pub use std::process::{exit, id};

/// Starts the program.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    sigpipe::unblocked(|| command.spawn())
}

/// Replaces this process's program; returns only if that fails.
pub(crate) fn exec(command: &mut Command) -> io::Error {
    sigpipe::unblocked(|| command.exec())
}

/// Registers `f`, which is called when this process exits: by exit(3), or by a return from `main`.
/// It must not unwind.
pub(crate) fn at_exit(f: extern "C" fn()) {
    // SAFETY: a function of the right type that stays for ever. If memory runs out, it is not
    // called.
    _ = unsafe { libc::atexit(f) };
}

/// Kills a child; no error if it has ended.
pub(crate) fn kill(child: &mut Child) -> io::Result<()> {
    child.kill()
}

/// Kills the process group that a child leads, including the child. The child must not have been
/// released, or its number may be another group's.
pub(crate) fn kill_group(child: &Child) -> io::Result<()> {
    let group = pid(child.id())?;
    // If SIGCHLD is ignored, the system releases children by itself.
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
    match rustix::process::waitid(WaitId::Pid(group), options) {
        Err(rustix::io::Errno::CHILD) => Ok(()),
        _ => Ok(rustix::process::kill_process_group(group, Signal::KILL)?),
    }
}

/// Returns the status of a child that has ended; `None` before its end. The first such answer
/// releases the child; std remembers it.
pub(crate) fn try_wait(child: &mut Child) -> io::Result<Option<ExitStatus>> {
    child.try_wait()
}

/// Blocks the thread until a child has ended, and releases it.
pub(crate) fn wait(child: &mut Child) -> io::Result<ExitStatus> {
    child.wait()
}

/// Makes a descriptor that becomes readable when the child has ended. The child must not have been
/// released, or its number may be another's.
pub(crate) fn end_descriptor(child: &Child) -> io::Result<OwnedFd> {
    native::process::end_of(pid(child.id())?)
}

/// Blocks the thread until the child `id` has ended, and leaves it as it is.
pub(crate) fn wait_for_end(id: u32) -> io::Result<()> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    let id = pid(id)?;
    rustix::io::retry_on_intr(|| rustix::process::waitid(WaitId::Pid(id), options))?;
    Ok(())
}

fn pid(id: u32) -> io::Result<Pid> {
    let id = i32::try_from(id).ok().and_then(Pid::from_raw);
    id.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}
