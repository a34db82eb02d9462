//! The memory of one transfer, and how far the transfer has got.

use std::io;
use std::os::fd::RawFd;

use crate::op::{Fs, Op, clamp};
use crate::sys::message::SLICES_MAX;
use crate::task::shield;

/// The memory of one transfer, which the caller has borrowed for it.
#[derive(Clone, Copy)]
pub(super) enum Memory {
    /// One slice that a read writes to.
    Into(*mut u8, usize),
    /// One slice that a write reads from.
    From(*const u8, usize),
    /// Slices that a read writes to.
    IntoSlices(*const libc::iovec, usize),
    /// Slices that a write reads from.
    FromSlices(*const libc::iovec, usize),
}

impl Memory {
    /// Returns the transfer on `fd` as an operation: at `offset`, or at the cursor.
    pub(super) fn op(self, fd: RawFd, offset: Option<u64>) -> Op {
        let count = |count: usize| count.min(SLICES_MAX) as u32;
        Op::Fs(match self {
            Memory::Into(buf, len) => Fs::Read { fd, buf, len: clamp(len), offset },
            Memory::From(buf, len) => Fs::Write { fd, buf, len: clamp(len), offset },
            Memory::IntoSlices(slices, n) => {
                Fs::ReadVectored { fd, slices, count: count(n), offset }
            }
            Memory::FromSlices(slices, n) => {
                Fs::WriteVectored { fd, slices, count: count(n), offset }
            }
        })
    }

    pub(super) fn is_read(self) -> bool {
        matches!(self, Memory::Into(..) | Memory::IntoSlices(..))
    }

    /// Returns the length of a single slice.
    pub(super) fn slice_len(self) -> Option<usize> {
        match self {
            Memory::Into(_, len) | Memory::From(_, len) => Some(len),
            Memory::IntoSlices(..) | Memory::FromSlices(..) => None,
        }
    }

    /// Returns the memory as slices, as many as one call takes.
    ///
    /// # Safety
    /// The slices are valid.
    pub(super) unsafe fn slices(self) -> Vec<libc::iovec> {
        match self {
            Memory::Into(buf, len) => vec![libc::iovec { iov_base: buf.cast(), iov_len: len }],
            Memory::From(buf, len) => {
                vec![libc::iovec { iov_base: buf.cast_mut().cast(), iov_len: len }]
            }
            Memory::IntoSlices(slices, n) | Memory::FromSlices(slices, n) => {
                // SAFETY: the slices are valid, by the caller's promise.
                unsafe { std::slice::from_raw_parts(slices, n.min(SLICES_MAX)) }.to_vec()
            }
        }
    }

    /// Returns what is left of a single slice behind its first `count` bytes.
    ///
    /// # Safety
    /// The memory is one slice of at least `count` bytes.
    unsafe fn behind(self, count: usize) -> Memory {
        match self {
            // SAFETY: within the slice, by the caller's promise.
            Memory::Into(buf, len) => Memory::Into(unsafe { buf.add(count) }, len - count),
            // SAFETY: as above.
            Memory::From(buf, len) => Memory::From(unsafe { buf.add(count) }, len - count),
            Memory::IntoSlices(..) | Memory::FromSlices(..) => unreachable!("the caller's promise"),
        }
    }
}

/// A transfer in several steps: what is left to be moved, and what has been.
pub(super) struct Progress {
    /// The memory of the next step.
    pub(super) memory: Memory,
    /// The offset of the next step; `None` at the cursor.
    pub(super) offset: Option<u64>,
    /// The bytes that have been moved.
    pub(super) done: usize,
}

impl Progress {
    pub(super) fn new(memory: Memory, offset: Option<u64>) -> Progress {
        Progress { memory, offset, done: 0 }
    }

    /// Makes a step. If bytes have been moved already, a kill waits, because they must be returned.
    pub(super) fn step<R>(&mut self, step: impl FnOnce(&mut Progress) -> R) -> R {
        if self.done > 0 { shield(|| step(self)) } else { step(self) }
    }

    /// Goes on behind `count` bytes that a step has moved.
    ///
    /// # Safety
    /// The memory is one slice of at least `count` bytes.
    pub(super) unsafe fn advance(&mut self, count: usize) {
        // SAFETY: the caller's promise.
        self.memory = unsafe { self.memory.behind(count) };
        self.offset = self.offset.map(|offset| offset.wrapping_add(count as u64));
        self.done += count;
    }

    /// Returns the bytes moved, with those of the last step. The error of a step behind others is
    /// not returned: the next call meets it.
    pub(super) fn end(self, last: io::Result<usize>) -> io::Result<usize> {
        match last {
            Ok(count) => Ok(self.done + count),
            Err(_) if self.done > 0 => Ok(self.done),
            Err(error) => Err(error),
        }
    }
}
