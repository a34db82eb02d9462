//! Look-ups in the kernel's caches. No call of these systems makes them, so every answer is
//! *unknown*.

use std::ffi::CStr;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use super::abi::AT_EMPTY_PATH;
use super::status::{StatBuf, stat};
use crate::sys::file::nonblocking::{Cached, Opened};

/// The request of an open from the cache, which does not exist here.
#[derive(Debug)]
pub(crate) struct OpenHow {}

/// Looks a path up in the cache of names: unknown.
pub(crate) fn cached(_: RawFd, _: &CStr, _: bool) -> Cached {
    Cached::Unknown
}

/// Opens a path that is in the cache of names: unknown.
pub(crate) fn open_cached(_: &CStr, _: i32) -> Opened {
    Opened::Unknown
}

/// Returns the request for an open from the cache.
pub(crate) fn from_cache(_: i32) -> OpenHow {
    OpenHow {}
}

/// Returns the outcome of an open [`from_cache`]: unknown. A descriptor that was opened is closed.
pub(crate) fn opened(_: Result<OwnedFd, i32>, _: i32) -> Opened {
    Opened::Unknown
}

/// Returns the status of an open file. Unlike on Linux, a server may be asked.
pub(crate) fn stat_of(fd: BorrowedFd<'_>) -> Option<StatBuf> {
    let mut out = StatBuf::default();
    // SAFETY: an empty path that ends in a zero byte, and a place of the type.
    let failed = unsafe { stat(fd.as_raw_fd(), c"".as_ptr(), AT_EMPTY_PATH, &raw mut out) };
    (failed == 0).then_some(out)
}
