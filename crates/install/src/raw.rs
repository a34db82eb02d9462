//! System calls by instruction, since this crate replaces libc's functions.

use std::ffi::c_int;

/// A result of the kernel; a negative one is an error number.
pub(crate) type Outcome = isize;

pub(crate) const AGAIN: Outcome = -(libc::EAGAIN as isize);
pub(crate) const BAD_DESCRIPTOR: Outcome = -(libc::EBADF as isize);
pub(crate) const CANCELED: Outcome = -(libc::ECANCELED as isize);
pub(crate) const FAULT: Outcome = -(libc::EFAULT as isize);
pub(crate) const IN_PROGRESS: Outcome = -(libc::EINPROGRESS as isize);
pub(crate) const INTERRUPTED: Outcome = -(libc::EINTR as isize);
pub(crate) const INVALID: Outcome = -(libc::EINVAL as isize);
pub(crate) const IO: Outcome = -(libc::EIO as isize);
pub(crate) const NOT_PERMITTED: Outcome = -(libc::EPERM as isize);
pub(crate) const NOT_SUPPORTED: Outcome = -(libc::EOPNOTSUPP as isize);
pub(crate) const PIPE: Outcome = -(libc::EPIPE as isize);
pub(crate) const TIMED_OUT: Outcome = -(libc::ETIMEDOUT as isize);

/// Makes a system call. Arguments are converted as `as usize` does.
macro_rules! call {
    ($name:ident $(, $argument:expr)* $(,)?) => {
        ::syscalls::raw_syscall!(::syscalls::Sysno::$name $(, $argument as usize)*) as isize
    };
}
pub(crate) use call;

/// Converts a result to libc's form: an error is −1, with its number in errno.
pub(crate) fn give(outcome: Outcome) -> isize {
    const LARGEST: isize = 4095;
    if (-LARGEST..0).contains(&outcome) {
        set_errno(-outcome as c_int);
        return -1;
    }
    outcome
}

/// Converts a result as [`give`] does, for functions that return an `int`.
pub(crate) fn give_int(outcome: Outcome) -> c_int {
    give(outcome) as c_int
}

/// Returns the caller's errno.
pub(crate) fn errno() -> c_int {
    // SAFETY: the location is the calling thread's own.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn set_errno(number: c_int) {
    // SAFETY: the location is the calling thread's own.
    unsafe { *libc::__errno_location() = number };
}

/// Writes to standard error, past std's lock, which a stopped thread may hold.
pub(crate) fn write_stderr(text: &str) {
    let mut rest = text.as_bytes();
    while !rest.is_empty() {
        // SAFETY: the bytes are borrowed for the call.
        let written = unsafe { call!(write, 2, rest.as_ptr(), rest.len()) };
        match usize::try_from(written) {
            Ok(written) if written > 0 => rest = &rest[written.min(rest.len())..],
            _ => return,
        }
    }
}
