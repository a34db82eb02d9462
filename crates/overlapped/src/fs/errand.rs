//! Operations that end by themselves, with everything they need, owned: so that the ring, a thread
//! of the pool, or the caller's own can do them.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use crate::op::{Fs, Op};
use crate::sys::descriptor;
use crate::sys::file::nonblocking;
use crate::sys::file::nonblocking::{Cached, cached, is_local};
use crate::sys::file::status::StatBuf;
use crate::task::aside::{Way, in_place, on_pool, way};
use crate::task::wait::{perform, perform_now};

/// Where a relative path begins.
#[derive(Debug, Clone)]
pub(super) enum Base {
    /// At the working directory.
    Here,
    /// At a directory that is open.
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
pub(super) enum Errand {
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

impl Errand {
    /// Its pointers are valid as long as it is neither moved nor dropped.
    fn op(&mut self) -> Op {
        Op::Fs(match self {
            Errand::Open { path, flags, mode } => {
                Fs::Open { path: path.as_ptr(), flags: *flags, mode: *mode }
            }
            Errand::Stat { base, path, flags, out } => {
                let (path, out) = (path.as_ptr(), std::ptr::from_mut(&mut **out));
                Fs::Stat { at: base.raw(), path, flags: *flags, out }
            }
            Errand::Rename { from, to } => Fs::Rename { from: from.as_ptr(), to: to.as_ptr() },
            Errand::Unlink { path, directory } => {
                Fs::Unlink { path: path.as_ptr(), directory: *directory }
            }
            Errand::MakeDir { path, mode } => Fs::MakeDir { path: path.as_ptr(), mode: *mode },
            Errand::Link { from, to } => Fs::Link { from: from.as_ptr(), to: to.as_ptr() },
            Errand::Symlink { target, link } => {
                Fs::Symlink { target: target.as_ptr(), link: link.as_ptr() }
            }
            Errand::Sync { fd, data_only } => {
                Fs::Sync { fd: fd.as_raw_fd(), data_only: *data_only }
            }
            Errand::SetLen { fd, len } => Fs::SetLen { fd: fd.as_raw_fd(), len: *len },
        })
    }

    /// Does it, blocking the calling tasklet only; outside a scheduler, the thread.
    pub(super) fn run(mut self) -> io::Result<Done> {
        let op = self.op();
        match way(&op) {
            Way::InPlace => self.in_place(),
            Way::Port => {
                // SAFETY: `self` stands still on this frame until `perform` returns.
                let value = unsafe { perform(&op, None) }?;
                Ok(self.done(value))
            }
            Way::Pool => on_pool(op.name(), move |_| self.in_place()),
        }
    }

    fn in_place(mut self) -> io::Result<Done> {
        let op = self.op();
        // SAFETY: `self` stands still on this frame until the call returns.
        let value = unsafe { perform_now(&op) }?;
        Ok(self.done(value))
    }

    fn done(self, value: usize) -> Done {
        let opened = matches!(self, Errand::Open { .. }).then(|| {
            // SAFETY: a successful open's result is a new descriptor that nobody else knows.
            unsafe { descriptor::from_value(value) }
        });
        Done { opened, errand: self }
    }
}

/// What came of an errand that succeeded. If nobody wants it any more, it closes what was opened.
#[derive(Debug)]
pub(super) struct Done {
    /// The descriptor of [`Errand::Open`].
    pub(super) opened: Option<OwnedFd>,
    /// With what the kernel has written to it.
    errand: Errand,
}

/// `path` as the kernel takes it.
///
/// # Errors
/// `InvalidInput` for a zero byte in it, as std.
pub(super) fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| {
        let text = "file name contained an unexpected NUL byte";
        io::Error::new(io::ErrorKind::InvalidInput, text)
    })
}

/// What stands under `path`.
pub(super) fn stat(base: Base, path: CString, follow: bool) -> io::Result<StatBuf> {
    // Nobody waits for the kernel's memory, and a round through the ring is a round through one of
    // its workers.
    match in_place(|| cached(base.raw(), &path, follow))? {
        Cached::Found(stat) if is_local(&stat) => return Ok(stat),
        Cached::Failed(errno) => return Err(io::Error::from_raw_os_error(errno)),
        Cached::Found(_) | Cached::Unknown => {}
    }
    ask(base, path, if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW })
}

/// What an open file is.
pub(super) fn stat_of(fd: &Arc<OwnedFd>) -> io::Result<StatBuf> {
    match in_place(|| nonblocking::stat_of(fd.as_fd()))? {
        Some(stat) if is_local(&stat) => Ok(stat),
        _ => ask(Base::Dir(Arc::clone(fd)), CString::default(), libc::AT_EMPTY_PATH),
    }
}

/// statx(2).
fn ask(base: Base, path: CString, flags: i32) -> io::Result<StatBuf> {
    let done = Errand::Stat { base, path, flags, out: Box::default() }.run()?;
    let Errand::Stat { out, .. } = done.errand else {
        unreachable!("an errand comes back as itself")
    };
    Ok(*out)
}
