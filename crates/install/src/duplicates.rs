//! The file of a descriptor, kept open for a call that waits.
//!
//! On a thread, a call keeps its file even if its descriptor is closed or replaced meanwhile. A
//! call of a tasklet waits and tries again, so it needs a descriptor of its own: the number could
//! name another file by then. A child of fork inherits a copy of each duplicate. No code in the
//! child knows these numbers, and they would keep the writing end of a pipe open, so the child
//! closes them.

use std::ffi::c_int;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::raw::call;

/// The limit below which duplicates are recorded; by default there are no higher descriptors.
const MOST: usize = 1 << 20;

/// A bit for each descriptor that is a duplicate.
static NUMBERS: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// A duplicate of a descriptor, closed when dropped.
pub(crate) struct Duplicate(c_int);

impl Duplicate {
    fn new(fd: c_int) -> Option<Duplicate> {
        // SAFETY: a new number for a file.
        let own = unsafe { call!(fcntl, fd, libc::F_DUPFD_CLOEXEC, 3) };
        let number = usize::try_from(own).ok()?;
        let duplicate = Duplicate(own as c_int);
        NUMBERS.get(number / 64)?.fetch_or(1 << (number % 64), Relaxed);
        Some(duplicate)
    }
}

impl Drop for Duplicate {
    fn drop(&mut self) {
        let number = self.0 as usize;
        if let Some(numbers) = NUMBERS.get(number / 64) {
            numbers.fetch_and(!(1 << (number % 64)), Relaxed);
        }
        // SAFETY: `new` made this descriptor, and no other code knows it.
        unsafe { call!(close, self.0) };
    }
}

/// Closes the duplicates of the parent's tasklets, in a child of fork.
pub(crate) fn close_in_child() {
    for (index, numbers) in NUMBERS.iter().enumerate() {
        let mut left = numbers.swap(0, Relaxed);
        while left != 0 {
            let number = index * 64 + left.trailing_zeros() as usize;
            // SAFETY: the descriptor was made for a tasklet that does not run in this process.
            unsafe { call!(close, number) };
            left &= left - 1;
        }
    }
}

/// The file that a call works on: by a duplicate, or by the program's descriptor if no more can be
/// made.
pub(crate) struct CallFile(c_int, Option<Duplicate>);

impl CallFile {
    pub(crate) fn new(fd: c_int) -> CallFile {
        CallFile(fd, Duplicate::new(fd))
    }

    pub(crate) fn number(&self) -> c_int {
        self.1.as_ref().map_or(self.0, |duplicate| duplicate.0)
    }
}
