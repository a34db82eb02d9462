//! The memory of one transfer.

use std::os::fd::RawFd;

use crate::op::{Fs, Op, clamp};
use crate::sys::message::SLICES_MAX;

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
    pub(super) unsafe fn behind(self, count: usize) -> Memory {
        match self {
            // SAFETY: within the slice, by the caller's promise.
            Memory::Into(buf, len) => Memory::Into(unsafe { buf.add(count) }, len - count),
            // SAFETY: as above.
            Memory::From(buf, len) => Memory::From(unsafe { buf.add(count) }, len - count),
            Memory::IntoSlices(..) | Memory::FromSlices(..) => unreachable!("the caller's promise"),
        }
    }
}
