//! Buffers of the caller's, as slices.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;

use libc::iovec;

use crate::raw::Outcome;

/// Makes a slice of a buffer of the caller's; an empty one of a null pointer.
///
/// # Safety
/// `len` bytes at `buf` are the caller's to lend for `'a`, for writing.
pub(crate) unsafe fn slice_mut<'a>(buf: *mut c_void, len: usize) -> &'a mut [u8] {
    let start = NonNull::new(buf.cast::<u8>()).unwrap_or(NonNull::dangling());
    let len = if buf.is_null() { 0 } else { len.min(isize::MAX as usize) };
    // SAFETY: the caller's promise; bytes of any value are initialised for the kernel.
    unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), len) }
}

/// Makes a slice of the caller's vector of buffers.
///
/// # Safety
/// `count` slices are the caller's to lend for `'a`.
pub(crate) unsafe fn slices_of<'a>(slices: *const iovec, count: c_int) -> &'a [iovec] {
    match usize::try_from(count) {
        Ok(count) if count > 0 && !slices.is_null() => {
            // SAFETY: the caller's promise.
            unsafe { std::slice::from_raw_parts(slices, count) }
        }
        _ => &[],
    }
}

/// Calls `call` with what is left of `slices` after `done` bytes, until nothing is left or a call
/// moves nothing. Returns the number of bytes moved.
pub(crate) fn transfer_slices(
    slices: &[iovec],
    done: Outcome,
    mut call: impl FnMut(&[iovec]) -> Outcome,
) -> Outcome {
    // The most slices for one call; the rest goes into further calls.
    const MOST: usize = 16;
    let mut total = done;
    let (mut next, mut offset) = (0, 0);
    let mut step = done as usize;
    loop {
        // Skips what has been moved.
        while next < slices.len() && step >= slices[next].iov_len - offset {
            step -= slices[next].iov_len - offset;
            (next, offset) = (next + 1, 0);
        }
        if next == slices.len() {
            return total;
        }
        offset += step;
        let mut rest = [iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; MOST];
        let count = MOST.min(slices.len() - next);
        rest[..count].copy_from_slice(&slices[next..next + count]);
        rest[0].iov_base = rest[0].iov_base.wrapping_byte_add(offset);
        rest[0].iov_len -= offset;
        match call(&rest[..count]) {
            taken if taken > 0 => (step, total) = (taken as usize, total + taken),
            _ => return total,
        }
    }
}
