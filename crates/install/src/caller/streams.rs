//! The number of C's streams that the calling tasklet holds by flockfile(3).
//!
//! While it holds one, a call that need not wait lets no other tasklet run: if that tasklet used
//! the stream, libc would block the thread, and the holder with it.

use std::cell::Cell;

use super::mark::is_ours;

thread_local! {
    static LOCKED_STREAMS: Cell<usize> = const { Cell::new(0) };
}

/// Tells whether the caller has locked a stream by flockfile(3).
pub(crate) fn has_locked_stream() -> bool {
    LOCKED_STREAMS.get() > 0
}

/// Adjusts the number of streams that the calling tasklet has locked. Those of threads are not
/// counted.
pub(crate) fn adjust_locked_streams(by: isize) {
    if is_ours() {
        LOCKED_STREAMS.set(LOCKED_STREAMS.get().saturating_add_signed(by));
    }
}
