//! The memory that jobs of the pool copy from and to. A job owns it, so that a killed waiter may
//! leave; the next job of this thread uses it again. Fresh memory costs more than the copying: it
//! is cleared, and each of its pages is a fault (a quarter of the time of writing 1 GiB by pieces
//! of 256 KiB).

use std::cell::Cell;

use crate::fs::AlignedBuf;

/// Larger memory goes back to the allocator.
const KEPT_MAX: usize = 1 << 20;
/// Smaller memory would seldom serve the next job.
const LEN_MIN: usize = 64 << 10;

thread_local! {
    static SPARE: Cell<Option<AlignedBuf>> = const { Cell::new(None) };
}

/// At least `len` bytes, of any contents.
pub(super) fn take(len: usize) -> AlignedBuf {
    let spare = SPARE.try_with(Cell::take).ok().flatten();
    spare.filter(|spare| spare.len() >= len).unwrap_or_else(|| AlignedBuf::new(len.max(LEN_MIN)))
}

/// Keeps memory for the next job of this thread.
pub(super) fn give(memory: AlignedBuf) {
    if memory.len() <= KEPT_MAX {
        let _ = SPARE.try_with(|spare| spare.set(Some(memory)));
    }
}
