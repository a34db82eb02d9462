//! The file of a descriptor, kept for a call that waits.
//!
//! On a thread a call keeps its file whatever is done to the number meanwhile. Here it is waited
//! for and tried again, so it needs a number of its own: what is closed or put to another use under
//! it would be somebody else's file. A child of fork has a copy of each such number, which nobody
//! in it knows, and which would keep the writing end of a pipe open: they are closed there.

use std::ffi::c_int;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use crate::raw::call;

/// The numbers below this are kept account of; there are no higher ones by default.
const MOST: usize = 1 << 20;

/// A bit for each number that is held.
static NUMBERS: [AtomicU64; MOST / 64] = [const { AtomicU64::new(0) }; MOST / 64];

/// A number of its own for a file. Dropped, it is closed.
pub(crate) struct Held(c_int);

impl Held {
    fn new(fd: c_int) -> Option<Held> {
        // SAFETY: a new number for a file.
        let own = unsafe { call!(fcntl, fd, libc::F_DUPFD_CLOEXEC, 3) };
        let place = usize::try_from(own).ok()?;
        let held = Held(own as c_int);
        NUMBERS.get(place / 64)?.fetch_or(1 << (place % 64), Relaxed);
        Some(held)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let place = self.0 as usize;
        if let Some(numbers) = NUMBERS.get(place / 64) {
            numbers.fetch_and(!(1 << (place % 64)), Relaxed);
        }
        // SAFETY: the number was made for this, and nobody else knows it.
        unsafe { call!(close, self.0) };
    }
}

/// Closes the numbers that tasklets of the parent hold, in a child of fork.
pub(crate) fn close_in_child() {
    for (index, numbers) in NUMBERS.iter().enumerate() {
        let mut left = numbers.swap(0, Relaxed);
        while left != 0 {
            let number = index * 64 + left.trailing_zeros() as usize;
            // SAFETY: the number was made for a tasklet that does not run here.
            unsafe { call!(close, number) };
            left &= left - 1;
        }
    }
}

/// The file that a call is made on: by a number of its own, or by the program's where none is left.
pub(crate) struct File(c_int, Option<Held>);

impl File {
    pub(crate) fn new(fd: c_int) -> File {
        File(fd, Held::new(fd))
    }

    pub(crate) fn number(&self) -> c_int {
        self.1.as_ref().map_or(self.0, |held| held.0)
    }
}
