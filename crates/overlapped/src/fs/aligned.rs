//! Memory for direct I/O, and for jobs of the pool, which own what they read or write.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::cell::Cell;
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Memory that begins at a multiple of [`AlignedBuf::ALIGNMENT`], as files opened with `O_DIRECT`
/// need it. (They need lengths and offsets that are multiples of the disk's block, too.)
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

// SAFETY: it is the only owner of its bytes, as a boxed slice is.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// The largest block size of the disks in use.
    pub const ALIGNMENT: usize = 4096;

    /// Allocates `len` zeros.
    ///
    /// # Panics
    /// If `len` is more than an allocation can have.
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
    Layout::from_size_align(len.max(1), AlignedBuf::ALIGNMENT)
        .expect("an allocation has at most isize::MAX bytes")
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
        // SAFETY: the allocation has `len` initialised bytes, which are borrowed with `self`.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above; the borrow of `self` is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AlignedBuf").field("len", &self.len).finish_non_exhaustive()
    }
}

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
pub(super) fn take_memory(len: usize) -> AlignedBuf {
    let spare = SPARE.try_with(Cell::take).ok().flatten();
    spare.filter(|spare| spare.len() >= len).unwrap_or_else(|| AlignedBuf::new(len.max(LEN_MIN)))
}

/// Keeps memory for the next job of this thread.
pub(super) fn keep_memory(memory: AlignedBuf) {
    if memory.len() <= KEPT_MAX {
        let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
    }
}
