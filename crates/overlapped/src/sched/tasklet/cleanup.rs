//! The list of a waiting tasklet's duties towards others. The scheduler does them if the tasklet is
//! parked for good; `abandon/` says why and when.

use std::cell::Cell;
use std::ptr::NonNull;

/// The innermost entry of a tasklet's list. The entries lie in its frames.
pub(in crate::sched) type Cleanups = Cell<Option<NonNull<Cleanup>>>;

/// One entry: a function and its argument.
pub(in crate::sched) struct Cleanup {
    pub(in crate::sched) outer: Option<NonNull<Cleanup>>,
    pub(in crate::sched) run: unsafe fn(*const ()),
    pub(in crate::sched) of: *const (),
}
