//! Codes of failed calls. Win32 and Winsock share one numbering.

use std::io;

use windows_sys::Win32::Foundation::{
    ERROR_BROKEN_PIPE, ERROR_COMMITMENT_LIMIT, ERROR_GEN_FAILURE, ERROR_INVALID_HANDLE,
    ERROR_INVALID_PARAMETER, ERROR_NO_DATA, ERROR_NO_SYSTEM_RESOURCES, ERROR_NOT_ENOUGH_MEMORY,
    ERROR_OPERATION_ABORTED, ERROR_OUTOFMEMORY, ERROR_TIMEOUT,
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

/// The code of a call with an argument that has no meaning.
pub(crate) const INVALID_ARGUMENT: i32 = ERROR_INVALID_PARAMETER as i32;

/// The code of an allocation for which there is no memory, or no room in a limit.
pub(crate) const NO_MEMORY: i32 = ERROR_NOT_ENOUGH_MEMORY as i32;

/// The code that stands for an error without one.
pub(crate) const UNKNOWN: i32 = ERROR_GEN_FAILURE as i32;

/// The code of an operation that was asked to end early.
pub(crate) const CANCELLED: i32 = ERROR_OPERATION_ABORTED as i32;

/// The code of a call that another thread has ended.
pub(crate) const INTERRUPTED: i32 = CANCELLED;

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

/// Tells whether `result` says that a connect goes on in the system: the same code as for any other
/// call that would have to wait.
pub(crate) fn is_under_way(result: i32) -> bool {
    result == -WOULD_BLOCK
}

/// Tells whether `result` says that the operation ended early and has done nothing.
pub(crate) fn is_cancelled(result: i32) -> bool {
    result == -CANCELLED
}

/// The code of a WaitOnAddress that ended at its limit.
pub(super) const TIMED_OUT: u32 = ERROR_TIMEOUT;
