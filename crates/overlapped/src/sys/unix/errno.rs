//! Codes of failed calls, and the calls that a signal has interrupted.

use std::io;

/// The errno of a call that would have to wait.
pub(crate) const WOULD_BLOCK: i32 = libc::EAGAIN;

/// The errno with which a wait ends at its time limit, as std's sockets do.
pub(crate) const AT_LIMIT: i32 = WOULD_BLOCK;

/// The errno of a call that a signal handler has ended.
pub(crate) const INTERRUPTED: i32 = libc::EINTR;

/// The errno of a call that makes no sense.
pub(crate) const INVALID: i32 = libc::EINVAL;

/// The errno of an operation that was asked to end early.
pub(crate) const CANCELLED: i32 = libc::ECANCELED;

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
    error(libc::EINVAL)
}

/// Returns the error of an allocation for which there is no memory, or no room in a limit.
#[cold]
pub(crate) fn no_memory() -> io::Error {
    error(libc::ENOMEM)
}

/// Tells whether `error` says that memory or another resource is missing now, as opposed to never
/// being available.
pub(crate) fn says_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOMEM | libc::EAGAIN))
}

/// Tells whether `error` says that a descriptor is not open.
pub(crate) fn says_not_open(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EBADF)
}

/// Tells whether `error` says that a pipe or a socket has no reader any more.
pub(crate) fn says_no_reader(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EPIPE)
}

/// Tells whether `error` says that the FIFO which was to be opened for writing has no reader.
pub(crate) fn says_no_peer(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ENXIO)
}

/// Tells whether `error` says that the kernel cannot splice between two descriptors: one was opened
/// for appending or for the other direction, or is a device without splice, or the kernel has no
/// such call.
pub(crate) fn says_no_splice(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::EINVAL
                | libc::EOPNOTSUPP
                | libc::ENOSYS
                | libc::EBADF
                | libc::ESPIPE
                | libc::EXDEV
        )
    )
}

/// Tells whether `result` says that a read from the page cache found nothing: it would have to wait
/// for the disk, or the file system cannot tell.
pub(crate) fn is_not_cached(result: i32) -> bool {
    result == -libc::EAGAIN || result == -libc::EOPNOTSUPP
}

/// Tells whether `result` says that the call would have to wait.
pub(crate) fn is_would_block(result: i32) -> bool {
    result == -libc::EAGAIN
}

/// Tells whether `result` says that a connect goes on in the kernel.
pub(crate) fn is_under_way(result: i32) -> bool {
    result == -libc::EINPROGRESS
}

/// Tells whether `result` says that the operation ended early and has done nothing: cancelled, or
/// interrupted by a signal. None of these is for users.
pub(crate) fn is_cancelled(result: i32) -> bool {
    /// The code of an interrupted call inside the kernel; the ring lets it out for some opens.
    const ERESTARTSYS: i32 = 512;
    [-libc::ECANCELED, -libc::EINTR, -ERESTARTSYS].contains(&result)
}

/// Returns the result of `call` in the kernel's form, in which a failure is the negated error
/// number. Interrupted calls are made again.
pub(crate) fn retried(mut call: impl FnMut() -> isize) -> i32 {
    loop {
        let result = call();
        if result >= 0 {
            return i32::try_from(result).expect("lengths were clamped");
        }
        match errno() {
            libc::EINTR => {}
            errno => return -errno,
        }
    }
}

/// Returns the value of a result in the kernel's form, or its error.
pub(crate) fn to_result(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(result) }
}

/// Returns the code of the call that has just failed on this thread.
pub(crate) fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().expect("an error of the system has a number")
}
