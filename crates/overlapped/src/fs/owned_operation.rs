//! Operations that end by themselves and own everything that they need. The ring, a thread of the
//! pool, or the caller's own thread can do them.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::op::{Fs, Op};
use crate::sys::descriptor;
use crate::sys::errno;
use crate::sys::file::AT_EMPTY_PATH;
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::{Cached, cached};
use crate::sys::file::status::StatBuf;
use crate::task::blocking::{DiskCall, begin_disk_call, in_place, on_pool};
use crate::task::wait::{perform, perform_now};

/// The directory from which a relative path leads.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// The working directory.
    Here,
    /// A directory that is open.
    Dir(Arc<OwnedFd>),
}

impl Base {
    pub(super) fn raw(&self) -> RawFd {
        match self {
            Base::Here => libc::AT_FDCWD,
            Base::Dir(dir) => dir.as_raw_fd(),
        }
    }
}

#[derive(Debug)]
pub(super) enum OwnedOperation {
    Open { path: CString, flags: i32, mode: u32 },
    Stat { base: Base, path: CString, flags: i32, out: Box<StatBuf> },
    Rename { from: CString, to: CString },
    Unlink { path: CString, directory: bool },
    MakeDir { path: CString, mode: u32 },
    Link { from: CString, to: CString },
    Symlink { target: CString, link: CString },
    Sync { fd: Arc<OwnedFd>, data_only: bool },
    SetLen { fd: Arc<OwnedFd>, len: u64 },
}

/// The ways to perform an owned operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    /// A plain call.
    InPlace,
    Port,
    /// A thread of the pool: the port has no such operation.
    Pool,
}

impl Strategy {
    fn choose(call: DiskCall) -> Strategy {
        match (call.may_wait, call.port_does) {
            (false, _) => Strategy::InPlace,
            (true, true) => Strategy::Port,
            (true, false) => Strategy::Pool,
        }
    }
}

impl OwnedOperation {
    /// Returns the operation as the port takes it. Its pointers are valid as long as `self` is
    /// neither moved nor dropped.
    fn op(&mut self) -> Op {
        Op::Fs(match self {
            OwnedOperation::Open { path, flags, mode } => {
                Fs::Open { path: path.as_ptr(), flags: *flags, mode: *mode }
            }
            OwnedOperation::Stat { base, path, flags, out } => {
                let (path, out) = (path.as_ptr(), std::ptr::from_mut(&mut **out));
                Fs::Stat { at: base.raw(), path, flags: *flags, out }
            }
            OwnedOperation::Rename { from, to } => {
                Fs::Rename { from: from.as_ptr(), to: to.as_ptr() }
            }
            OwnedOperation::Unlink { path, directory } => {
                Fs::Unlink { path: path.as_ptr(), directory: *directory }
            }
            OwnedOperation::MakeDir { path, mode } => {
                Fs::MakeDir { path: path.as_ptr(), mode: *mode }
            }
            OwnedOperation::Link { from, to } => Fs::Link { from: from.as_ptr(), to: to.as_ptr() },
            OwnedOperation::Symlink { target, link } => {
                Fs::Symlink { target: target.as_ptr(), link: link.as_ptr() }
            }
            OwnedOperation::Sync { fd, data_only } => {
                Fs::Sync { fd: fd.as_raw_fd(), data_only: *data_only }
            }
            OwnedOperation::SetLen { fd, len } => Fs::SetLen { fd: fd.as_raw_fd(), len: *len },
        })
    }

    /// Performs the operation, blocking the calling tasklet only; outside a scheduler, the thread.
    pub(super) fn run(mut self) -> io::Result<Done> {
        let op = self.op();
        match Strategy::choose(begin_disk_call(&op)) {
            Strategy::InPlace => self.in_place(),
            Strategy::Port => {
                // SAFETY: `self` stays in this frame until `perform` returns.
                let value = unsafe { perform(&op, None) }?;
                Ok(self.done(value))
            }
            Strategy::Pool => on_pool(op.name(), move |_| self.in_place()),
        }
    }

    fn in_place(mut self) -> io::Result<Done> {
        let op = self.op();
        // SAFETY: `self` stays in this frame until the call returns.
        let value = unsafe { perform_now(&op) }?;
        Ok(self.done(value))
    }

    fn done(self, value: usize) -> Done {
        let opened = matches!(self, OwnedOperation::Open { .. }).then(|| {
            // SAFETY: a successful open's result is a new descriptor that no other code knows.
            unsafe { descriptor::from_value(value) }
        });
        Done { opened, operation: self }
    }
}

/// The result of an operation that succeeded. If it is dropped, the descriptor that was opened is
/// closed.
#[derive(Debug)]
pub(super) struct Done {
    /// The descriptor of [`OwnedOperation::Open`].
    pub(super) opened: Option<OwnedFd>,
    /// The operation, with the memory that the kernel has written to.
    operation: OwnedOperation,
}

/// Returns `path` as the kernel takes it.
///
/// # Errors
/// `InvalidInput` for a zero byte in it, as std.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        let text = "file name contained an unexpected NUL byte";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// Returns the status of the file at `path`.
pub(super) fn stat(base: Base, path: CString, follow: bool) -> io::Result<StatBuf> {
    // The call only reads the kernel's memory, so it never waits; the ring would give it to one of
    // its workers.
    match in_place(|| cached(base.raw(), &path, follow))? {
        Cached::Found(stat) if stat.is_local() => return Ok(stat),
        Cached::Failed(code) => return Err(errno::error(code)),
        Cached::Found(_) | Cached::Unknown => {}
    }
    statx(base, path, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
}

/// Returns the status of an open file.
pub(super) fn stat_of(fd: &Arc<OwnedFd>) -> io::Result<StatBuf> {
    match in_place(|| nonblocking::stat_of(fd.as_fd()))? {
        Some(stat) if stat.is_local() => Ok(stat),
        _ => statx(Base::Dir(Arc::clone(fd)), CString::default(), AT_EMPTY_PATH),
    }
}

fn statx(base: Base, path: CString, flags: i32) -> io::Result<StatBuf> {
    let done = OwnedOperation::Stat { base, path, flags, out: Box::default() }.run()?;
    let OwnedOperation::Stat { out, .. } = done.operation else {
        unreachable!("an operation comes back as itself")
    };
    Ok(*out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_may_not_wait_makes_a_plain_call_and_others_use_the_port_if_it_can() {
        for (may_wait, port_does, expected) in [
            (false, false, Strategy::InPlace),
            (false, true, Strategy::InPlace),
            (true, true, Strategy::Port),
            (true, false, Strategy::Pool),
        ] {
            for others_are_ready in [false, true] {
                let call = DiskCall { may_wait, port_does, others_are_ready };
                assert_eq!(Strategy::choose(call), expected, "{call:?}");
            }
        }
    }
}
