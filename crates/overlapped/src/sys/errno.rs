//! Codes of failed calls: those of the system (`unix`, `windows`), and questions about them that
//! are alike everywhere.

use std::io;

pub(crate) use super::system::errno::*;

/// Returns the error with this code.
#[cold]
pub(crate) fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Tells whether `error` has the code of a call that would have to wait. (An error of this
/// library that says why a caller may not wait is of the same kind, but has no code.)
pub(crate) fn says_would_block(error: &io::Error) -> bool {
    error.raw_os_error() == Some(WOULD_BLOCK)
}

/// Tells whether `error` says that a wait ended at its time limit.
pub(crate) fn says_at_limit(error: &io::Error) -> bool {
    error.raw_os_error() == Some(AT_LIMIT)
}

/// Tells whether `error` says that an operation ended early and has done nothing.
pub(crate) fn says_cancelled(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| is_cancelled(-code))
}

/// Returns the error of an operation that ended early and has done nothing.
#[cold]
pub(crate) fn cancelled() -> io::Error {
    error(CANCELLED)
}

/// Returns the error of a call with an argument that has no meaning.
#[cold]
pub(crate) fn invalid_argument() -> io::Error {
    error(INVALID_ARGUMENT)
}

/// Returns the error of an allocation for which there is no memory, or no room in a limit.
#[cold]
pub(crate) fn no_memory() -> io::Error {
    error(NO_MEMORY)
}

/// Tells whether `result` says that the call would have to wait.
pub(crate) fn is_would_block(result: i32) -> bool {
    result == -WOULD_BLOCK
}

/// Returns the value of a result in the system's form, or its error.
pub(crate) fn to_result(result: i32) -> io::Result<i32> {
    if result < 0 { Err(error(-result)) } else { Ok(result) }
}

/// Returns the code of the call that has just failed on this thread.
pub(crate) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("an error of the system has a number")
}
