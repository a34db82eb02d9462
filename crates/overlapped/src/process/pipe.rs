//! This process's ends of a child's pipes.
//!
//! Like all pipes of this library they are in blocking mode and need no other, since the port makes
//! each operation non-blocking by itself. So std or another child can take them as they are.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use crate::op::{Fs, Op, clamp};
use crate::pipe;
use crate::task::wait::perform_now;

/// The end of a pipe that a child's standard input reads from; the counterpart of
/// `std::process::ChildStdin`.
///
/// Dropping it, and waiting for the child, closes it. Writing to a child that has ended fails
/// with `BrokenPipe`.
pub struct ChildStdin {
    fd: OwnedFd,
}

/// The end of a pipe that a child's standard output writes to; the counterpart of
/// `std::process::ChildStdout`.
pub struct ChildStdout {
    fd: OwnedFd,
}

/// The end of a pipe that a child's standard error writes to; the counterpart of
/// `std::process::ChildStderr`.
pub struct ChildStderr {
    fd: OwnedFd,
}

pipe::writes!(ChildStdin, &ChildStdin);
pipe::reads!(ChildStdout, ChildStderr);

macro_rules! reads_now {
    ($($ours:ident),*) => {$(
        impl $ours {
            /// Reads the bytes that are there; `WouldBlock` if the pipe is empty.
            pub(super) fn read_now(&self, buf: &mut [u8]) -> io::Result<usize> {
                let (fd, len) = (self.as_raw_fd(), clamp(buf.len()));
                let op = Op::Fs(Fs::Read { fd, buf: buf.as_mut_ptr(), len, offset: None });
                // SAFETY: descriptor and buffer are borrowed for this call, which does not wait.
                unsafe { perform_now(&op) }
            }
        }
    )*};
}

reads_now!(ChildStdout, ChildStderr);

pipe::ends!(std::process: ChildStdin, ChildStdout, ChildStderr);

macro_rules! debugs {
    ($($ours:ident),*) => {$(
        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ours)).field("fd", &self.as_raw_fd()).finish()
            }
        }
    )*};
}

debugs!(ChildStdin, ChildStdout, ChildStderr);
