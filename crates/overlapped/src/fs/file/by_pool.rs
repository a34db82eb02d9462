//! Transfers by a thread of the pool, which reads or writes memory of its own; the caller copies
//! from it or to it. A job owns its memory, so that a killed caller may leave.

use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::ptr;
use std::sync::Arc;

use super::File;
use super::memory::{Memory, Progress};
use super::page_cache::{self, Cached};
use crate::descriptor::{State, Turn};
use crate::fs::aligned::{keep_memory, take_memory};
use crate::task::blocking::on_pool;
use crate::task::wait::perform_now;

/// The maximum number of bytes that one job copies. A longer transfer of one slice is several jobs;
/// a vectored one ends short.
const COPY_MAX: usize = 16 << 20;

/// The turn at the file's cursor, kept by a job. It ends with the job, even if the job's caller has
/// left.
type JobTurn = Option<Turn<Arc<State>>>;

impl File {
    /// # Safety
    /// The same as for [`File::transfer`].
    #[cold]
    pub(super) unsafe fn by_pool(
        &self,
        memory: Memory,
        offset: Option<u64>,
        cache_first: bool,
    ) -> io::Result<usize> {
        let turn = match offset {
            None => Some(Turn::take(Arc::clone(&self.state))?),
            Some(_) => None,
        };
        let mut progress = Progress::new(memory, offset);
        // SAFETY: the caller's promise.
        let last = unsafe { self.by_jobs(&mut progress, turn, cache_first) };
        progress.end(last)
    }

    /// Makes jobs do the transfer, one after another. Returns the bytes that the last one moved.
    ///
    /// # Safety
    /// As for [`File::transfer`].
    unsafe fn by_jobs(
        &self,
        progress: &mut Progress,
        mut turn: JobTurn,
        cache_first: bool,
    ) -> io::Result<usize> {
        loop {
            if cache_first {
                // SAFETY: the caller's promise; the memory is one slice to be written to.
                let read = |left: &mut _| unsafe { page_cache::read(self.fd.as_raw_fd(), left) };
                if progress.step(read)? == Cached::All {
                    return Ok(0);
                }
            }
            // SAFETY: the caller's promise.
            let job = |left: &mut Progress| unsafe {
                self.one_job(left.memory, left.offset, turn.take())
            };
            let (count, back) = progress.step(job)?;
            let slice_len = progress.memory.slice_len();
            let goes_on = count == COPY_MAX && slice_len.is_some_and(|len| len > count);
            if !goes_on {
                return Ok(count);
            }
            turn = back;
            // SAFETY: the job has moved `count` bytes of a single slice.
            unsafe { progress.advance(count) };
        }
    }

    /// Makes one job do the transfer, or its first [`COPY_MAX`] bytes. Returns the bytes moved, and
    /// the turn.
    ///
    /// # Safety
    /// The same as for [`File::transfer`].
    unsafe fn one_job(
        &self,
        memory: Memory,
        offset: Option<u64>,
        turn: JobTurn,
    ) -> io::Result<(usize, JobTurn)> {
        // SAFETY: the slices are valid, by the caller's promise.
        let slices = unsafe { memory.slices() };
        let total = slices.iter().fold(0, |sum: usize, slice| sum.saturating_add(slice.iov_len));
        let total = total.min(COPY_MAX);
        let is_read = memory.is_read();
        let (file, mut copy) = (Arc::clone(&self.fd), take_memory(total));
        if !is_read {
            for (from, part) in parts(&slices, total) {
                let to = &mut copy[part];
                // SAFETY: the slice has at least as many bytes, by the caller's promise; the copy
                // is memory of its own.
                unsafe { ptr::copy_nonoverlapping(from, to.as_mut_ptr(), to.len()) };
            }
        }
        let what = if is_read { "read" } else { "write" };
        let (count, copy, turn) = on_pool(what, move |_| {
            let memory = match is_read {
                true => Memory::Into(copy.as_mut_ptr(), total),
                false => Memory::From(copy.as_ptr(), total),
            };
            // SAFETY: the job owns the copy, which has at least `total` bytes.
            let count = unsafe { perform_now(&memory.op(file.as_raw_fd(), offset)) }?;
            Ok((count, copy, turn))
        })?;
        if is_read {
            for (to, part) in parts(&slices, count) {
                let from = &copy[part];
                // SAFETY: the slice has room for these bytes and is used by no other code, by the
                // caller's promise; the copy is memory of its own.
                unsafe { ptr::copy_nonoverlapping(from.as_ptr(), to, from.len()) };
            }
        }
        keep_memory(copy);
        Ok((count, turn))
    }
}

/// Divides the first `len` bytes of a copy among the slices, in their order: returns each slice's
/// address and its part, which is not longer than the slice.
fn parts(slices: &[libc::iovec], len: usize) -> impl Iterator<Item = (*mut u8, Range<usize>)> {
    let mut at = 0;
    slices.iter().map(move |slice| {
        let begin = at;
        at += slice.iov_len.min(len - begin);
        (slice.iov_base.cast(), begin..at)
    })
}
