//! To and from std's types and raw descriptors. Conversions only.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::process::Stdio;
use std::sync::Arc;

use super::File;
use crate::pipe::{End, Endpoint, Side};
use crate::port::control;

impl Endpoint for File {
    fn end(&self, _: Side) -> Option<End<'_>> {
        Some(End::new(self.as_fd(), None).ok()?.in_turn(&*self.cursor))
    }
}

/// The descriptor may have clones outside: transfers at their common cursor are not put in order
/// with those of this file.
impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::fresh(fd, None)
    }
}

/// Where a job that a killed tasklet left behind still works on the descriptor, this gives a
/// duplicate: the number differs, the open file is the same.
impl From<File> for OwnedFd {
    fn from(file: File) -> OwnedFd {
        let mut fd = file.fd;
        loop {
            fd = match Arc::try_unwrap(fd) {
                Ok(fd) => return fd,
                Err(shared) => shared,
            };
            if let Ok(duplicate) = control::duplicate(fd.as_fd()) {
                return duplicate;
            }
            // No descriptors left: the job ends some time.
            std::thread::yield_now();
        }
    }
}

impl From<std::fs::File> for File {
    fn from(theirs: std::fs::File) -> File {
        OwnedFd::from(theirs).into()
    }
}

impl From<File> for std::fs::File {
    fn from(ours: File) -> std::fs::File {
        OwnedFd::from(ours).into()
    }
}

impl From<File> for Stdio {
    fn from(ours: File) -> Stdio {
        OwnedFd::from(ours).into()
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl IntoRawFd for File {
    fn into_raw_fd(self) -> RawFd {
        OwnedFd::from(self).into_raw_fd()
    }
}

impl FromRawFd for File {
    unsafe fn from_raw_fd(fd: RawFd) -> File {
        // SAFETY: handed on to the caller: the descriptor is open and nobody else's.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}
