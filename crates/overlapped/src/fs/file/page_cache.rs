//! Reads from the page cache, by a call that never waits (`RWF_NOWAIT`).

use std::io;
use std::os::fd::RawFd;

use super::memory::{Memory, Progress};
use crate::op::clamp;
use crate::sys::errno;
use crate::sys::file::transfer::read_cached;
use crate::task::blocking::in_place;
use crate::task::wait::perform_now;

/// A divisor of every page's size.
const SECTOR: u64 = 512;

/// The outcome of a read of the page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cached {
    /// The read has ended: no more bytes will come.
    All,
    /// The rest is on the disk.
    Part,
}

/// Reads the bytes that are in the page cache.
///
/// # Safety
/// The same as for [`File::transfer`](super::File::transfer), for the memory of `progress`. It is
/// one slice to be written to.
pub(super) unsafe fn read(fd: RawFd, progress: &mut Progress) -> io::Result<Cached> {
    let before = progress.done;
    loop {
        let (memory, offset) = (progress.memory, progress.offset);
        let Memory::Into(buf, len) = memory else { unreachable!("the caller's promise") };
        if len == 0 {
            // Only read(2) and pread(2) of these calls report that a folder is not a file. Neither
            // waits.
            // SAFETY: the caller's promise.
            return in_place(|| unsafe { perform_now(&memory.op(fd, offset)) })?
                .map(|_| Cached::All);
        }
        // SAFETY: the caller's promise.
        let read = || unsafe { read_cached(fd, buf, clamp(len), offset) };
        // Once there are bytes to be returned, neither a kill nor a deadline may end the call.
        let count = match if progress.done == before { in_place(read)? } else { read() } {
            count @ 0.. => count as usize,
            code if errno::is_not_cached(code) => return Ok(Cached::Part),
            _ if progress.done > before => return Ok(Cached::All),
            code => return Err(errno::error(-code)),
        };
        // SAFETY: the read has written `count` bytes into the slice.
        unsafe { progress.advance(count) };
        // The cache holds whole pages: a read that ends inside a page has reached the file's end.
        let ends_inside = progress.offset.is_some_and(|offset| !offset.is_multiple_of(SECTOR));
        if count == 0 || count == len || ends_inside {
            return Ok(Cached::All);
        }
    }
}
