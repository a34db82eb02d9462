//! The distinction between the program's threads and the library's.
//!
//! The program's threads are the main thread, the tasklets that replace its threads, and threads
//! that stayed threads ([`adopt`]). A thread that is started while one of them is inside a call of
//! this library ([`LibraryCall`]) is the library's.

use std::cell::Cell;

use overlapped_install::preload::is_marked;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    Unknown,
    Program,
    Library,
}

thread_local! {
    static OWNER: Cell<Owner> = const { Cell::new(Owner::Unknown) };
}

/// Tells whether the calling code is the program's.
pub(crate) fn is_program_code() -> bool {
    // A tasklet of overlapped-install is marked unless it is inside a call of the library.
    is_marked()
        || match OWNER.get() {
            Owner::Program => true,
            Owner::Library => false,
            Owner::Unknown => {
                let is_main = is_main_thread() && !overlapped::task::in_tasklet();
                OWNER.set(if is_main { Owner::Program } else { Owner::Library });
                is_main
            }
        }
}

/// Tells whether this is the process's first thread.
pub(crate) fn is_main_thread() -> bool {
    // SAFETY: the calls have no conditions.
    unsafe { libc::gettid() == libc::getpid() }
}

/// Makes the calling thread one of the program's.
pub(crate) fn adopt() {
    OWNER.set(Owner::Program);
}

/// A call into this library by one of the program's threads.
pub(crate) struct LibraryCall(Owner);

impl LibraryCall {
    pub(crate) fn begin() -> LibraryCall {
        LibraryCall(OWNER.replace(Owner::Library))
    }
}

impl Drop for LibraryCall {
    fn drop(&mut self) {
        OWNER.set(self.0);
    }
}
