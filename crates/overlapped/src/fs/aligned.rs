//! Memory for direct I/O.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes that begin at a multiple of [`AlignedBuf::ALIGNMENT`], as files opened with `O_DIRECT`
/// want them. (They want lengths and offsets to be multiples of the disk's block, too.)
///
/// ```
/// # use overlapped::fs::AlignedBuf;
/// let mut buffer = AlignedBuf::new(8192);
/// buffer[..5].copy_from_slice(b"hello");
/// assert!(buffer.as_ptr().cast::<[u8; 4096]>().addr() % AlignedBuf::ALIGNMENT == 0);
/// ```
pub struct AlignedBuf {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: it owns its bytes alone, as a boxed slice does.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// The largest page of a disk that is in use.
    pub const ALIGNMENT: usize = 4096;

    /// `len` zeros.
    ///
    /// # Panics
    /// Where `len` is more than an allocation can be.
    #[must_use]
    pub fn new(len: usize) -> AlignedBuf {
        let layout = layout(len);
        // SAFETY: the size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let start = NonNull::new(start).unwrap_or_else(|| handle_alloc_error(layout));
        AlignedBuf { start, len }
    }
}

fn layout(len: usize) -> Layout {
    Layout::from_size_align(len.max(1), AlignedBuf::ALIGNMENT).expect("no allocation is so large")
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout, and freed once.
        unsafe { dealloc(self.start.as_ptr(), layout(self.len)) };
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: so many initialised bytes, borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else has them.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}
