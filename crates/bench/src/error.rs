//! Errors are sentences: each of them is printed for the reader of a run.

use std::fmt;

/// The reason for which a subject has no result where its library has nothing of the kind.
pub(crate) const ABSENT: &str = "it has no such thing";

/// Turns an error into a sentence.
pub(crate) fn say(error: impl fmt::Display) -> String {
    error.to_string()
}
