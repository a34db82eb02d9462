//! No snapshots: a thread can be stopped and looked at (SuspendThread), but that is not done yet.

use std::io;
use std::time::Duration;

use super::{Lookup, Snapshot};
use crate::sys::thread::Target;

/// Does nothing.
pub(in crate::watchdog) fn install(_: Lookup) -> io::Result<()> {
    Ok(())
}

/// Does nothing.
pub(in crate::watchdog) fn forget_question() {}

/// Asks nothing: returns false.
///
/// # Safety
/// The call has no conditions.
pub(in crate::watchdog) unsafe fn ask(_: Target, _all: bool) -> bool {
    false
}

/// Returns no answer.
pub(in crate::watchdog) fn answer(_: Duration) -> Option<Box<Snapshot>> {
    None
}
