//! The work that a suite may ask of a subject: one trait for each kind of work, with the constants
//! and types that both sides share.
//!
//! The traits stand below both sides. [`crate::subjects`] implements them, one file for each
//! library, and finds an implementation by its name; [`crate::suites`] calls them. Each method runs
//! in a process of its own. A method that a subject does not have fails with
//! [`crate::error::ABSENT`], and the subject is left out of the case.

pub(crate) mod files;
pub(crate) mod install;
pub(crate) mod servers;
pub(crate) mod sockets;
pub(crate) mod tasks;
pub(crate) mod wake;
