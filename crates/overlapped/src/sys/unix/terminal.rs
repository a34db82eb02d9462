//! Terminals, and standard error.
//!
//! A read or write on a terminal can only be kept from waiting by `O_NONBLOCK`, which is a property
//! of the open file description: setting it on standard input would set it for the shell and for
//! every other program on that terminal. So the terminal is opened once more, which makes a
//! description of this process alone.

use std::io::IsTerminal;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};

pub(crate) use crate::sys::descriptor::Identity;
use crate::sys::descriptor::{self, Kind};
use crate::sys::native;

/// Returns the file behind `fd` if it may be a terminal.
pub(crate) fn candidate(fd: BorrowedFd<'_>) -> Option<Identity> {
    let identity = descriptor::identity(fd.as_raw_fd()).ok()?;
    (identity.kind == Kind::CharDevice).then_some(identity)
}

/// Tells whether `fd` is a terminal.
pub(crate) fn is_terminal(fd: BorrowedFd<'_>) -> bool {
    fd.is_terminal()
}

/// Returns the terminal behind `fd` under a description of its own, which does not block. `None`
/// if that cannot be had: it belongs to another user, there is no procfs, or it is the master's
/// side of a pseudo-terminal, whose file opens another one.
pub(crate) fn reopen(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    if native::abi::is_terminal_master(fd.as_raw_fd()) {
        return None;
    }
    let rights = rustix::fs::fcntl_getfl(fd).ok()? & OFlags::RWMODE;
    let flags = rights | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let own = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    (candidate(std::os::fd::AsFd::as_fd(&own)) == candidate(fd)).then_some(own)
}

/// Writes `bytes` to standard error, without a lock of std's. An error cannot be reported anywhere.
/// Async-signal-safe, apart from errno.
pub(crate) fn write_to_stderr(bytes: &[u8]) {
    // The descriptor is used by its number, so that nothing is locked.
    drop(super::splice::write_all(std::io::stderr(), bytes));
}
