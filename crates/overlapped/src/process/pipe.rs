//! This process's ends of a child's pipes.
//!
//! Like all pipes of this library they are in blocking mode and need no other, since the port makes
//! each operation non-blocking by itself. So std or another child can take them as they are.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;

use crate::op::{Fs, Op, clamp};
use crate::pipe::{self, End, Endpoint, Side};
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

macro_rules! conversions {
    ($($ours:ident),*) => {$(
        impl Endpoint for $ours {
            fn end(&self, _: Side) -> Option<End<'_>> {
                End::new(self.as_fd(), None).ok()
            }
        }

        impl From<OwnedFd> for $ours {
            fn from(fd: OwnedFd) -> $ours {
                $ours { fd }
            }
        }

        impl From<std::process::$ours> for $ours {
            fn from(theirs: std::process::$ours) -> $ours {
                OwnedFd::from(theirs).into()
            }
        }

        impl From<$ours> for OwnedFd {
            fn from(ours: $ours) -> OwnedFd {
                ours.fd
            }
        }

        impl From<$ours> for std::process::$ours {
            fn from(ours: $ours) -> std::process::$ours {
                ours.fd.into()
            }
        }

        impl From<$ours> for Stdio {
            fn from(ours: $ours) -> Stdio {
                ours.fd.into()
            }
        }

        impl AsFd for $ours {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.fd.as_fd()
            }
        }

        impl AsRawFd for $ours {
            fn as_raw_fd(&self) -> RawFd {
                self.fd.as_raw_fd()
            }
        }

        impl IntoRawFd for $ours {
            fn into_raw_fd(self) -> RawFd {
                self.fd.into_raw_fd()
            }
        }

        impl fmt::Debug for $ours {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($ours)).field("fd", &self.as_raw_fd()).finish()
            }
        }
    )*};
}

conversions!(ChildStdin, ChildStdout, ChildStderr);
