//! Transfers by a thread of the pool, which reads or writes memory of its own; the caller copies
//! from it or to it. A job owns its memory, so that a killed caller may leave.

use std::cell::Cell;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use super::File;
use super::memory::Memory;
use super::page_cache::{self, Cached, behind};
use super::transfer::shield_if_moved;
use crate::descriptor::{State, Turn};
use crate::fs::AlignedBuf;
use crate::op::{Fs, Op, clamp};
use crate::task::blocking::on_pool;
use crate::task::wait::perform_now;

/// The maximum number of bytes that one job copies. A longer transfer is several jobs.
const COPY_MAX: usize = 16 << 20;

/// Memory that is larger goes back to the allocator.
const KEPT_MAX: usize = 1 << 20;
/// Memory that is smaller would seldom serve the next job.
const LEN_MIN: usize = 64 << 10;

thread_local! {
    /// The memory that the last job of this thread has used, for the next one. Fresh memory costs
    /// more than the copying: it is cleared, and each of its pages is a fault (a quarter of the
    /// time of writing 1 GiB by pieces of 256 KiB).
    static SPARE: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// Returns at least `len` bytes of memory, with any contents.
fn take_memory(len: usize) -> AlignedBuf {
    let spare = SPARE.try_with(Cell::take).ok().flatten();
    spare.filter(|spare| spare.len() >= len).unwrap_or_else(|| AlignedBuf::new(len.max(LEN_MIN)))
}

/// Keeps memory for the next job of this thread.
fn keep_memory(memory: AlignedBuf) {
    if memory.len() <= KEPT_MAX {
        let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
    }
}

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
        let mut turn = match offset {
            None => Some(Turn::take(Arc::clone(&self.state))?),
            Some(_) => None,
        };
        let (mut memory, mut offset) = (memory, offset);
        let mut done = 0;
        loop {
            if cache_first {
                // SAFETY: the caller's promise.
                let read = || unsafe { page_cache::read(self.fd.as_raw_fd(), memory, offset) };
                match shield_if_moved(done, read) {
                    Ok(Cached::All(count)) => return Ok(done + count),
                    Ok(Cached::Part(count)) => {
                        // SAFETY: the read has written `count` bytes into the slice.
                        memory = unsafe { memory.behind(count) };
                        offset = behind(offset, count);
                        done += count;
                    }
                    Err(_) if done > 0 => return Ok(done),
                    Err(error) => return Err(error),
                }
            }
            // SAFETY: the caller's promise.
            let job = || unsafe { self.one_job(memory, offset, turn.take()) };
            let count = match shield_if_moved(done, job) {
                Ok((count, back)) => {
                    turn = back;
                    count
                }
                Err(_) if done > 0 => return Ok(done),
                Err(error) => return Err(error),
            };
            done += count;
            let goes_on = count == COPY_MAX && memory.slice_len().is_some_and(|len| len > count);
            if !goes_on {
                return Ok(done);
            }
            // SAFETY: the job has moved `count` bytes of a single slice.
            memory = unsafe { memory.behind(count) };
            offset = behind(offset, count);
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
        // SAFETY: the same promise.
        unsafe {
            match memory.is_read() {
                true => self.read_by_job(&slices, total, offset, turn),
                false => self.write_by_job(&slices, total, offset, turn),
            }
        }
    }

    /// # Safety
    /// `slices` are valid for writes, and used by no other code.
    unsafe fn read_by_job(
        &self,
        slices: &[libc::iovec],
        total: usize,
        offset: Option<u64>,
        turn: JobTurn,
    ) -> io::Result<(usize, JobTurn)> {
        let (file, mut copy) = (Arc::clone(&self.fd), take_memory(total));
        let (count, copy, turn) = on_pool("read", move |_| {
            let (fd, buf, len) = (file.as_raw_fd(), copy.as_mut_ptr(), clamp(total));
            // SAFETY: the job owns the copy, which has at least `total` bytes.
            let count = unsafe { perform_now(&Op::Fs(Fs::Read { fd, buf, len, offset })) }?;
            Ok((count, copy, turn))
        })?;
        let mut from = &copy[..count];
        for slice in slices {
            let (here, rest) = from.split_at(slice.iov_len.min(from.len()));
            // SAFETY: the slice has room for these bytes and is used by no other code, by the
            // caller's promise; the copy is memory of its own.
            unsafe {
                std::ptr::copy_nonoverlapping(here.as_ptr(), slice.iov_base.cast(), here.len());
            }
            from = rest;
        }
        keep_memory(copy);
        Ok((count, turn))
    }

    /// # Safety
    /// `slices` are valid for reads.
    unsafe fn write_by_job(
        &self,
        slices: &[libc::iovec],
        total: usize,
        offset: Option<u64>,
        turn: JobTurn,
    ) -> io::Result<(usize, JobTurn)> {
        let (file, mut copy) = (Arc::clone(&self.fd), take_memory(total));
        let mut to = &mut copy[..total];
        for slice in slices {
            let (here, rest) = to.split_at_mut(slice.iov_len.min(to.len()));
            // SAFETY: the slice has at least as many bytes, by the caller's promise; the copy is
            // memory of its own.
            unsafe {
                std::ptr::copy_nonoverlapping(slice.iov_base.cast(), here.as_mut_ptr(), here.len());
            }
            to = rest;
        }
        let (count, copy, turn) = on_pool("write", move |_| {
            let (fd, buf, len) = (file.as_raw_fd(), copy.as_ptr(), clamp(total));
            // SAFETY: the job owns the copy, which has at least `total` bytes.
            let count = unsafe { perform_now(&Op::Fs(Fs::Write { fd, buf, len, offset })) }?;
            Ok((count, copy, turn))
        })?;
        keep_memory(copy);
        Ok((count, turn))
    }
}
