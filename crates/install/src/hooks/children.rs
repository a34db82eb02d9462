//! Child processes: a descriptor (pidfd) becomes readable when a child has ended.

use std::ffi::{CStr, c_char, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use libc::{id_t, idtype_t, pid_t, rusage, siginfo_t};

use crate::caller::Call;
use crate::next::next;
use crate::pool;
use crate::query::Direction;
use crate::raw::{Outcome, call, errno, give_int};
use crate::symbols::Symbol;
use crate::wait::ready;

/// waitpid(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn waitpid(pid: pid_t, status: *mut c_int, options: c_int) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::waitpid, pid, status, options, std::ptr::null_mut()) }
}

/// wait(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn wait(status: *mut c_int) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::wait, -1, status, 0, std::ptr::null_mut()) }
}

/// wait3(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn wait3(
    status: *mut c_int,
    options: c_int,
    usage: *mut rusage,
) -> pid_t {
    // SAFETY: the caller's promise, handed on.
    unsafe { wait_by(Symbol::wait3, -1, status, options, usage) }
}

/// wait4(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
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
    let begun = Call::begin_if_waits(options & libc::WNOHANG == 0, symbol);
    let Some(call) = begun else { return give_int(kernel(options)) };
    // wait4 always waits for ends; the other changes have flags of their own.
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

/// The options that select children.
const KINDS: c_int = libc::__WALL | libc::__WCLONE | libc::__WNOTHREAD;

/// waitid(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn waitid(
    kind: idtype_t,
    id: id_t,
    info: *mut siginfo_t,
    options: c_int,
) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let kernel =
        |info: *mut siginfo_t, options: c_int| unsafe { call!(waitid, kind, id, info, options, 0) };
    let begun = Call::begin_if_waits(options & libc::WNOHANG == 0, Symbol::waitid);
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

/// Waits until such a child has a change to report, without consuming the report.
fn change(call: &Call, kind: idtype_t, id: id_t, options: c_int) -> Outcome {
    const OTHERS: c_int = libc::WSTOPPED | libc::WCONTINUED;
    if kind == libc::P_PID && options & OTHERS == 0 {
        // SAFETY: a new descriptor, or an error.
        let fd = unsafe { call!(pidfd_open, id, 0) };
        if fd >= 0 {
            // SAFETY: the call above has opened it.
            let fd = unsafe { OwnedFd::from_raw_fd(fd as c_int) };
            return ready(call, fd.as_raw_fd(), Direction::In, None);
        }
    }
    // For several children, or another change, a thread of its own waits.
    // SAFETY: the call writes nothing and leaves the child in place.
    let wait_for_change = move || unsafe { call!(waitid, kind, id, 0, options | libc::WNOWAIT, 0) };
    pool::run_interruptible(call, wait_for_change, |_| 0).unwrap_or_else(|error| error)
}

type System = unsafe extern "C" fn(*const c_char) -> c_int;
type PClose = unsafe extern "C" fn(*mut libc::FILE) -> c_int;

/// system(3), on a thread of the pool. A kill or a deadline ends the wait; the command runs on.
/// (SIGCHLD is blocked in that thread, not in the caller's.)
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn system(command: *const c_char) -> c_int {
    let real: System = next!(system);
    let call = (!command.is_null()).then(|| Call::begin(Symbol::system)).flatten();
    let Some(call) = call else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(command) };
    };
    // SAFETY: the caller's promise: a text that ends in a zero.
    let command = unsafe { CStr::from_ptr(command) }.to_owned();
    let ended = pool::run_cancellable(&call, move || {
        // SAFETY: the job owns the text.
        match unsafe { real(command.as_ptr()) } {
            -1 => -(errno() as isize),
            status => status as isize,
        }
    });
    give_int(ended.unwrap_or_else(|error| error))
}

/// pclose(3), on a thread of the pool. Neither a kill nor a deadline ends it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn pclose(stream: *mut libc::FILE) -> c_int {
    let real: PClose = next!(pclose);
    let Some(call) = Call::begin(Symbol::pclose) else {
        // SAFETY: the caller's promise, handed on.
        return unsafe { real(stream) };
    };
    // SAFETY: the caller's promise: it no longer uses the stream.
    let stream = unsafe { pool::AssertSend::new(stream) };
    let status = pool::run_to_end(&call, move || {
        // SAFETY: the caller's promise; it waits for the end.
        match unsafe { real(stream.take()) } {
            -1 => -(errno() as isize),
            status => status as isize,
        }
    });
    give_int(status)
}
