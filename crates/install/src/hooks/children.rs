//! Child processes: the kernel says by a descriptor that one has ended.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

use crate::caller::Call;
use crate::pool;
use crate::raw::{Outcome, call, give_int};
use crate::symbols::Symbol;
use crate::wait::{Way, ready};

/// waitpid(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::waitpid, pid, status, options, std::ptr::null_mut()) }
}

/// wait(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::wait, -1, status, 0, std::ptr::null_mut()) }
}

/// wait3(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wait3(
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::wait3, -1, status, options, usage) }
}

/// wait4(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn wait4(
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::wait4, pid, status, options, usage) }
}

unsafe fn wait_by(
    symbol: Symbol,
    pid: pid_t,
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    let kernel = |options: c_int| unsafe { call!(wait4, pid, status, options, usage) };
    let begun = (options & libc::WNOHANG == 0).then(|| Call::begin(symbol)).flatten();
    let Some(call) = begun else { return give_int(kernel(options)) };
    // wait4 waits for ends without being asked; other changes have names of their own.
    let changes = libc::WEXITED | options & (libc::WUNTRACED | libc::WCONTINUED);
    let (kind, id) = match pid {
        -1 => (libc::P_ALL, 0),
        0 => (libc::P_PGID, 0),
        pid if pid < 0 => (libc::P_PGID, pid.unsigned_abs()),
        pid => (libc::P_PID, pid as id_t),
    };
    loop {
        match kernel(options | libc::WNOHANG) {
            0 => {}
            other => return give_int(other),
        }
        match change(&call, kind, id, changes | options & KINDS) {
            0 => {}
            error => return give_int(error),
        }
    }
}

/// Options about which children are meant.
const KINDS: c_int = libc::__WALL | libc::__WCLONE | libc::__WNOTHREAD;

/// waitid(2).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn waitid(
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let kernel =
        |info: *mut siginfo_t, options: c_int| unsafe { call!(waitid, kind, id, info, options, 0) };
    let begun = (options & libc::WNOHANG == 0).then(|| Call::begin(Symbol::waitid)).flatten();
    let Some(call) = begun else { return give_int(kernel(info, options)) };
    let mut found = std::mem::MaybeUninit::<siginfo_t>::zeroed();
    loop {
        let outcome = kernel(found.as_mut_ptr(), options | libc::WNOHANG);
        // SAFETY: zeros, or what the kernel has written.
        let is_one = unsafe { found.assume_init_ref().si_signo } != 0;
        if outcome != 0 || is_one {
            if !info.is_null() && outcome == 0 {
                // SAFETY: the caller's promise.
                unsafe { info.write(found.assume_init()) };
            }
            return give_int(outcome);
        }
        match change(&call, kind, id, options & !libc::WNOWAIT) {
            0 => {}
            error => return give_int(error),
        }
    }
}

/// Waits until there is something to be told of such a child, and leaves it to be told.
fn change(call: &Call, kind: idtype_t, id: id_t, options: c_int) -> Outcome {
    const OTHERS: c_int = libc::WSTOPPED | libc::WCONTINUED;
    if kind == libc::P_PID && options & OTHERS == 0 {
        // SAFETY: a new descriptor, or an error.
        let fd = unsafe { call!(pidfd_open, id, 0) };
        if fd >= 0 {
            // SAFETY: it was opened just now.
            let fd = unsafe { OwnedFd::from_raw_fd(fd as c_int) };
            return ready(call, fd.as_raw_fd(), Way::In, None);
        }
    }
    // Of several, or another change: a thread of the pool looks.
    pool::until_cancelled(call, move || {
        // SAFETY: nothing is to be told, and the child stays.
        unsafe { call!(waitid, kind, id, 0, options | libc::WNOWAIT, 0) }
    })
    .unwrap_or_else(|error| error)
}
