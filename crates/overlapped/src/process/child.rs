//! A child process and the wait for its end.
//!
//! The wait has two steps. The first lasts until the child has ended, and changes nothing. The
//! second releases the record that the system keeps of it, and does not wait. A kill or a deadline
//! can only come in the first, so the status of a child is never taken and then lost.
//!
//! A process number belongs to a child, and to its group, until the child is released. So a group
//! is killed before that, and never after.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::process::{ExitStatus, Output};

use super::both_outputs::{read_both, wait_for_end};
use super::{ChildStderr, ChildStdin, ChildStdout, PartialOutput};
use crate::offload::offload;
use crate::sys::process as host;
use crate::task::{UnblockError, cancelled_wait, count_busy_call, in_tasklet, unblock};

/// A running or ended child process; the counterpart of `std::process::Child`.
///
/// Dropping it neither ends the child nor releases the record of an ended one (a zombie), as in
/// std; see [`Command::kill_on_drop`](super::Command::kill_on_drop).
pub struct Child {
    /// The writing end of the child's standard input, if that was
    /// [`Stdio::piped`](super::Stdio::piped).
    pub stdin: Option<ChildStdin>,
    /// The reading end of the child's standard output, if that was piped.
    pub stdout: Option<ChildStdout>,
    /// The reading end of the child's standard error, if that was piped.
    pub stderr: Option<ChildStderr>,
    process: Process,
}

/// The process itself. It has the destructor, so that the streams can be moved out of a [`Child`].
struct Process {
    /// Present until the drop.
    child: Option<host::Child>,
    /// The child is released: its number may belong to another process.
    is_released: bool,
    on_drop: KillOnDrop,
}

/// The processes that a dropped [`Child`] ends.
#[derive(Debug, Clone, Copy)]
pub(super) enum KillOnDrop {
    Nothing,
    Child,
    Group,
}

impl Child {
    pub(super) fn new(mut process: host::Child, on_drop: KillOnDrop) -> Child {
        Child {
            stdin: process.stdin.take().map(ChildStdin::from),
            stdout: process.stdout.take().map(ChildStdout::from),
            stderr: process.stderr.take().map(ChildStderr::from),
            process: Process { child: Some(process), is_released: false, on_drop },
        }
    }

    /// Returns the process's number.
    ///
    /// ```
    /// use overlapped::process::Command;
    /// let mut child = Command::new("true").spawn().unwrap();
    /// assert_ne!(child.id(), overlapped::process::id());
    /// assert!(child.wait().unwrap().success());
    /// ```
    pub fn id(&self) -> u32 {
        self.process.child.as_ref().map_or(0, host::Child::id)
    }

    /// Ends the child by SIGKILL. Never waits; [`wait`](Child::wait) afterwards.
    ///
    /// # Errors
    /// Those of kill(2). A child that has ended is no error, as in std.
    pub fn kill(&mut self) -> io::Result<()> {
        host::kill(self.process.child())
    }

    pub(super) fn kill_group(&mut self) -> io::Result<()> {
        self.process.kill_group()
    }

    /// Waits for the child's end and releases it. Closes its standard input first, so that a child
    /// which reads to the end of it does end.
    ///
    /// Blocks only the calling tasklet. A kill or a deadline leaves the child as it is, and the
    /// next wait gets its status. After the end, every call returns the same status.
    ///
    /// # Errors
    /// `TimedOut` at the deadline set by [`timeout`](crate::time::timeout); those of waitpid(2):
    /// `ECHILD` if SIGCHLD is ignored.
    ///
    /// ```
    /// use overlapped::{process::Command, run, time::{Duration, timeout}};
    /// run(|| {
    ///     let mut child = Command::new("sleep").arg("60").spawn().unwrap();
    ///     let waited = timeout(Duration::from_millis(5), || child.wait());
    ///     assert_eq!(waited.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    ///     child.kill().unwrap();
    ///     assert!(!child.wait().unwrap().success());
    /// }).unwrap();
    /// ```
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        if !in_tasklet() {
            return self.process.wait();
        }
        loop {
            if let Some(status) = self.process.try_wait()? {
                return Ok(status);
            }
            if let Err(error) = self.wait_for_end() {
                return self.process.try_wait()?.ok_or(error);
            }
        }
    }

    /// Blocks the calling tasklet until the child has ended, and leaves it as it is.
    fn wait_for_end(&mut self) -> io::Result<()> {
        let process = self.process.child();
        if let Ok(end) = host::end_descriptor(process) {
            return wait_for_end(end.as_fd());
        }
        let id = process.id();
        match unblock(move || host::wait_for_end(id)) {
            Ok(waited) => waited,
            Err(UnblockError::TimedOut | UnblockError::Cancelled) => Err(cancelled_wait()),
            Err(UnblockError::Interrupted) => Err(io::ErrorKind::Interrupted.into()),
            Err(error @ UnblockError::WouldBlock) => {
                Err(io::Error::new(io::ErrorKind::WouldBlock, error))
            }
            Err(error) => Err(io::Error::other(error.to_string())),
        }
    }

    /// Returns the child's status if it has ended. Never waits.
    ///
    /// # Errors
    /// Those of waitpid(2).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.process.try_wait();
        if matches!(status, Ok(None)) {
            count_busy_call();
        }
        status
    }

    /// Waits for the child's end and returns its output, as far as its streams were piped. Closes
    /// its standard input first. Both streams are read at once, so that neither can fill up and
    /// stop the child.
    ///
    /// # Errors
    /// As [`wait`](Child::wait), and those of reading. The bytes that were read until then are in
    /// the error, a [`PartialOutput`] inside the [`io::Error`], and the child is dropped.
    ///
    /// ```
    /// use overlapped::process::{Command, Stdio};
    /// overlapped::run(|| {
    ///     let mut echo = Command::new("echo");
    ///     let child = echo.arg("hello").stdout(Stdio::piped()).spawn().unwrap();
    ///     assert_eq!(child.wait_with_output().unwrap().stdout, b"hello\n");
    /// }).unwrap();
    /// ```
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let streams = (self.stdout.take(), self.stderr.take());
        let ended = read_both(streams, (&mut stdout, &mut stderr)).and_then(|()| self.wait());
        match ended {
            Ok(status) => Ok(Output { status, stdout, stderr }),
            Err(error) => Err(PartialOutput::new(stdout, stderr, error).into()),
        }
    }
}

impl Process {
    fn child(&mut self) -> &mut host::Child {
        self.child.as_mut().expect("a child has its process until it is dropped")
    }

    fn wait(&mut self) -> io::Result<ExitStatus> {
        let ended = host::wait(self.child());
        self.is_released |= ended.is_ok();
        ended
    }

    fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        let ended = host::try_wait(self.child());
        self.is_released |= matches!(ended, Ok(Some(_)));
        ended
    }

    fn kill_group(&mut self) -> io::Result<()> {
        if self.is_released { Ok(()) } else { host::kill_group(self.child()) }
    }
}

impl Drop for Process {
    /// With `kill_on_drop`, kills the child, or its group even if the child has ended by itself.
    /// The release waits until the system has ended the child: on a pool thread, so that no other
    /// tasklet waits.
    fn drop(&mut self) {
        match self.on_drop {
            KillOnDrop::Nothing => return,
            KillOnDrop::Child => {}
            // The kill is refused if all of them have changed their user.
            KillOnDrop::Group => _ = self.kill_group(),
        }
        let Some(mut process) = self.child.take() else { return };
        if !matches!(host::try_wait(&mut process), Ok(None)) {
            return;
        }
        // The kill is refused if the child has changed its user: then it runs on, and is never
        // released.
        if host::kill(&mut process).is_err() {
            return;
        }
        if in_tasklet() {
            offload(move || _ = host::wait(&mut process));
        } else {
            _ = host::wait(&mut process);
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
