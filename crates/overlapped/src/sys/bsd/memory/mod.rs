//! Calls on memory, as far as these systems have them.

#[cfg(not(miri))]
pub(crate) mod guard;
