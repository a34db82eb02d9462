//! The list of what a waiting tasklet has to do for others if it is parked for good. `abandon/`
//! says why and when.

use std::cell::Cell;
use std::ptr::NonNull;

/// The innermost entry of a tasklet's list. The entries lie in its frames.
pub(in crate::sched) type Cleanups = Cell<Option<NonNull<Cleanup>>>;

/// One entry: a function, and what it is called with.
pub(in crate::sched) struct Cleanup {
    pub(in crate::sched) outer: Option<NonNull<Cleanup>>,
    pub(in crate::sched) run: unsafe fn(*const ()),
    pub(in crate::sched) of: *const (),
}
