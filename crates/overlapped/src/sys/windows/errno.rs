//! Codes of failed calls. Win32 and Winsock share one numbering.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_COMMITMENT_LIMIT, ERROR_INVALID_HANDLE, ERROR_INVALID_PARAMETER,
    ERROR_NO_DATA, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY, ERROR_OPERATION_ABORTED,
    ERROR_OUTOFMEMORY, ERROR_TIMEOUT,
};
use windows_sys::Win32::Networking::WinSock::{
    WSAEINVAL, WSAENOTSOCK, WSAETIMEDOUT, WSAEWOULDBLOCK,
};

/// The code of a call that would have to wait.
pub(crate) const WOULD_BLOCK: i32 = WSAEWOULDBLOCK;

/// The code of a call on a socket that makes no sense.
pub(crate) const INVALID: i32 = WSAEINVAL;

/// The code with which a wait ends at its time limit, as std's sockets do.
pub(crate) const AT_LIMIT: i32 = WSAETIMEDOUT;

/// The code of an operation that was asked to end early.
pub(crate) const CANCELLED: i32 = ERROR_OPERATION_ABORTED as i32;

/// The code of a call that another thread has ended.
pub(crate) const INTERRUPTED: i32 = CANCELLED;

/// Returns the error with this code.
#[cold]
pub(crate) fn error(code: i32) -> io::Error {
    io::Error::from_raw_os_error(code)
}

/// Tells whether `error` is the system's own of a call that would have to wait. (An error of this
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
    error(ERROR_INVALID_PARAMETER as i32)
}

/// Returns the error of an allocation for which there is no memory, or no room in a limit.
#[cold]
pub(crate) fn no_memory() -> io::Error {
    error(ERROR_NOT_ENOUGH_MEMORY as i32)
}

/// Tells whether `error` says that memory or another resource is missing now, as opposed to never
/// being available.
pub(crate) fn says_exhausted(error: &io::Error) -> bool {
    let exhausted = [
        ERROR_NOT_ENOUGH_MEMORY,
        ERROR_OUTOFMEMORY,
        ERROR_COMMITMENT_LIMIT,
        ERROR_NO_SYSTEM_RESOURCES,
    ];
    error.raw_os_error().is_some_and(|code| exhausted.contains(&(code as u32)))
}

/// Tells whether `error` says that a handle or a socket is not open.
pub(crate) fn says_not_open(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(WSAENOTSOCK) || code == Some(ERROR_INVALID_HANDLE as i32)
}

/// Tells whether `error` says that a pipe or a socket has no reader any more.
pub(crate) fn says_no_reader(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(ERROR_BROKEN_PIPE as i32) || code == Some(ERROR_NO_DATA as i32)
}

/// Tells whether `result` says that the call would have to wait.
pub(crate) fn is_would_block(result: i32) -> bool {
    result == -WOULD_BLOCK
}

/// Tells whether `result` says that a connect goes on in the system: the same code as for any other
/// call that would have to wait.
pub(crate) fn is_under_way(result: i32) -> bool {
    result == -WOULD_BLOCK
}

/// Tells whether `result` says that the operation ended early and has done nothing.
pub(crate) fn is_cancelled(result: i32) -> bool {
    result == -CANCELLED
}

/// Returns the value of a result in the system's form, or its error.
pub(crate) fn to_result(result: i32) -> io::Result<i32> {
    if result < 0 { Err(error(-result)) } else { Ok(result) }
}

/// Returns the code of the call that has just failed on this thread.
pub(crate) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("an error of the system has a number")
}

/// The code of a WaitOnAddress that ended at its limit.
pub(super) const TIMED_OUT: u32 = ERROR_TIMEOUT;
