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

/// The errno of a call with an argument that has no meaning.
pub(crate) const INVALID_ARGUMENT: i32 = INVALID;

/// The errno of an allocation for which there is no memory, or no room in a limit.
pub(crate) const NO_MEMORY: i32 = libc::ENOMEM;

/// The errno that stands for an error without one.
pub(crate) const UNKNOWN: i32 = libc::EIO;

/// The errno of an operation that was asked to end early.
pub(crate) const CANCELLED: i32 = libc::ECANCELED;

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
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EINTR) => {}
            errno => return -errno.expect("an error of the system has a number"),
        }
    }
}
