//! Reads from the page cache, by a call that never waits (`RWF_NOWAIT`).

use std::io;
use std::os::fd::RawFd;

use super::memory::Memory;
use crate::op::clamp;
use crate::sys::errno;
use crate::sys::file::transfer::read_cached;
use crate::task::blocking::in_place;
use crate::task::wait::perform_now;

/// A divisor of every page's size.
const SECTOR: u64 = 512;

/// The outcome of a read of the page cache.
pub(super) enum Cached {
    /// The call has read this many bytes, and no more will come.
    All(usize),
    /// The call has read this many bytes, and the rest is on the disk.
    Part(usize),
}

/// Reads the bytes that are in the page cache.
///
/// # Safety
/// The same as for [`File::transfer`](super::File::transfer); the memory is one slice to be written
/// to.
pub(super) unsafe fn read(fd: RawFd, memory: Memory, offset: Option<u64>) -> io::Result<Cached> {
    let (mut memory, mut offset) = (memory, offset);
    let mut done = 0;
    loop {
        let Memory::Into(buf, len) = memory else { unreachable!("the caller's promise") };
        if len == 0 {
            // Only read(2) and pread(2) of these calls report that a folder is not a file. Neither
            // waits.
            // SAFETY: the caller's promise.
            let read = in_place(|| unsafe { perform_now(&memory.op(fd, offset)) })?;
            return read.map(Cached::All);
        }
        // SAFETY: the caller's promise.
        let read = || unsafe { read_cached(fd, buf, clamp(len), offset) };
        // Once there are bytes to be returned, neither a kill nor a deadline may end the call.
        let count = match if done == 0 { in_place(read)? } else { read() } {
            count @ 0.. => count as usize,
            code if errno::is_not_cached(code) => return Ok(Cached::Part(done)),
            _ if done > 0 => return Ok(Cached::All(done)),
            code => return Err(errno::error(-code)),
        };
        done += count;
        // The cache holds whole pages: a read that ends inside a page has reached the file's end.
        let ends_inside = offset
            .is_some_and(|offset| !(offset.wrapping_add(count as u64)).is_multiple_of(SECTOR));
        if count == 0 || count == len || ends_inside {
            return Ok(Cached::All(done));
        }
        // SAFETY: the read has written `count` bytes into the slice.
        memory = unsafe { memory.behind(count) };
        offset = behind(offset, count);
    }
}

/// Returns the offset `count` bytes further on.
pub(super) fn behind(offset: Option<u64>, count: usize) -> Option<u64> {
    offset.map(|offset| offset.wrapping_add(count as u64))
}
