//! Calls on memory that other systems lack.

#[cfg(not(miri))]
pub(crate) mod guard;
pub(crate) mod modules;
