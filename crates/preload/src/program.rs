//! Tells the program's threads from the library's.
//!
//! The program's are the main thread, the tasklets that were made of its threads, and threads that
//! stayed threads ([`adopt`]). What the library starts while one of those is inside a call of ours
//! ([`Inside`]) is the library's.

use std::cell::Cell;

use overlapped_install::preload::is_marked;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Unknown,
    Programs,
    Librarys,
}

thread_local! {
    static WHOSE: Cell<Whose> = const { Cell::new(Whose::Unknown) };
}

/// Tells whether the calling code is the program's.
pub(crate) fn is_programs() -> bool {
    // A tasklet of ours is marked while it is in no call of the library's.
    is_marked()
        || match WHOSE.get() {
            Whose::Programs => true,
            Whose::Librarys => false,
            Whose::Unknown => {
                let is_main = is_main_thread() && !overlapped::task::in_tasklet();
                WHOSE.set(if is_main { Whose::Programs } else { Whose::Librarys });
                is_main
            }
        }
}

/// Tells whether this is the process's first thread.
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: no conditions.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Makes the calling thread one of the program's.
pub(crate) fn adopt() {
    WHOSE.set(Whose::Programs);
}

/// A call of the library's by one of the program's threads.
pub(crate) struct Inside(Whose);

impl Inside {
    pub(crate) fn begin() -> Inside {
        Inside(WHOSE.replace(Whose::Librarys))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        WHOSE.set(self.0);
    }
}
