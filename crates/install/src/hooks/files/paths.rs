//! File locks, and opens that wait for another program.

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use overlapped::signal::interruptible;
use overlapped::time::try_sleep;

use super::positioned::file;
use crate::caller::Call;
use crate::errors::error_number;
use crate::pool;
use crate::raw::{AGAIN, Outcome, call, give_int};
use crate::symbols::Symbol;

/// flock(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) extern "C" fn flock(fd: c_int, operation: c_int) -> c_int {
    // SAFETY: a descriptor's number.
    let kernel = |operation: c_int| unsafe { call!(flock, fd, operation) };
    let may_block = operation & (libc::LOCK_NB | libc::LOCK_UN) == 0;
    let Some(call) = may_block.then(|| Call::begin(Symbol::flock)).flatten() else {
        return give_int(kernel(operation));
    };
    let first = kernel(operation | libc::LOCK_NB);
    if first != AGAIN {
        return give_int(first);
    }
    call.count();
    let file = file(fd);
    let is_exclusive = operation & libc::LOCK_EX != 0;
    let locked = interruptible(call.restart(false), || {
        if is_exclusive { file.lock() } else { file.lock_shared() }
    });
    give_int(locked.map_or_else(|error| error_number(&error), |()| 0))
}

/// fcntl(2). Record locks belong to the process, not to a thread, so no thread can wait for one on
/// behalf of a tasklet and abandon it at a kill: they are tried at intervals. (A deadlock with
/// another process is not found.)
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn fcntl(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { control(Symbol::fcntl, fd, command, argument) }
}

/// fcntl(2), as programs with 64-bit offsets call it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn fcntl64(fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the caller's promise, handed on.
    unsafe { control(Symbol::fcntl64, fd, command, argument) }
}

unsafe fn control(symbol: Symbol, fd: c_int, command: c_int, argument: usize) -> c_int {
    // SAFETY: the caller's promise, handed on.
    let kernel = |command: c_int| unsafe { call!(fcntl, fd, command, argument) };
    let attempt = match command {
        libc::F_SETLKW => libc::F_SETLK,
        libc::F_OFD_SETLKW => libc::F_OFD_SETLK,
        libc::F_GETOWN => return give_int(owner(fd)),
        _ => return give_int(kernel(command)),
    };
    match Call::begin(symbol) {
        Some(call) => give_int(retry_lock(&call, || kernel(attempt))),
        None => give_int(kernel(command)),
    }
}

/// Performs `F_GETOWN`, whose negative results are no errors.
fn owner(fd: c_int) -> Outcome {
    const F_GETOWN_EX: c_int = 16;
    const GROUP: c_int = 2;
    let mut owner = [0 as c_int; 2];
    // SAFETY: the kernel writes two numbers.
    match unsafe { call!(fcntl, fd, F_GETOWN_EX, owner.as_mut_ptr()) } {
        error if error < 0 => error,
        // As in libc's own wrapper once, `give` treats a small negative number as an error.
        _ if owner[0] == GROUP => -(owner[1] as isize),
        _ => owner[1] as isize,
    }
}

/// Tries until it is neither EAGAIN nor EACCES.
fn retry_lock(call: &Call, attempt: impl Fn() -> Outcome) -> Outcome {
    const DENIED: Outcome = -(libc::EACCES as isize);
    const LONGEST: Duration = Duration::from_millis(50);
    let mut pause = Duration::from_millis(1);
    loop {
        match attempt() {
            AGAIN | DENIED => {}
            other => return other,
        }
        call.count();
        if let Err(error) = interruptible(call.restart(false), || try_sleep(pause)) {
            return error_number(&error);
        }
        pause = (pause * 2).min(LONGEST);
    }
}

/// Opens a path. A FIFO waits for its other end, as an interruptible call on a thread.
unsafe fn open_by(
    symbol: Symbol,
    folder: c_int,
    path: *const c_char,
    flags: c_int,
    mode: c_uint,
) -> Outcome {
    // SAFETY: the caller's promise, handed on.
    let kernel = || unsafe { call!(openat, folder, path, flags, mode) };
    let may_wait = flags & (libc::O_NONBLOCK | libc::O_PATH | libc::O_DIRECTORY) == 0
        && flags & libc::O_ACCMODE != libc::O_RDWR;
    let Some(call) = may_wait.then(|| Call::begin(symbol)).flatten() else { return kernel() };
    // SAFETY: the caller's promise: a path.
    if !unsafe { is_fifo(folder, path) } {
        return kernel();
    }
    // SAFETY: as above.
    let path = unsafe { CStr::from_ptr(path) }.to_owned();
    let own = match folder {
        libc::AT_FDCWD => None,
        folder => match pool::duplicate(folder) {
            Ok(own) => Some(own),
            Err(error) => return error,
        },
    };
    let open = move || {
        let folder = own.as_ref().map_or(libc::AT_FDCWD, pool::number);
        // SAFETY: the job owns both.
        unsafe { call!(openat, folder, path.as_ptr(), flags, mode) }
    };
    // SAFETY: the call above has opened it.
    pool::run_interruptible(&call, open, |fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .map_or_else(|error| error, pool::into_number)
}

unsafe fn is_fifo(folder: c_int, path: *const c_char) -> bool {
    let mut stat = std::mem::MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the caller's promise: a path; the kernel fills the rest, or leaves zeros.
    let stat = unsafe {
        let number = libc::SYS_newfstatat;
        syscalls::raw_syscall!(number, folder, path, stat.as_mut_ptr(), 0);
        stat.assume_init()
    };
    stat.st_mode & libc::S_IFMT == libc::S_IFIFO
}

macro_rules! opens {
    ($($name:ident $at:ident;)*) => {$(
        /// open(2). Variadic in C: `mode` is arbitrary if nothing is created.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name(
            path: *const c_char,
            flags: c_int,
            mode: c_uint,
        ) -> c_int {
            // SAFETY: the caller's promise, handed on.
            give_int(unsafe { open_by(Symbol::$name, libc::AT_FDCWD, path, flags, mode) })
        }

        /// openat(2). Variadic in C: `mode` is arbitrary if nothing is created.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $at(
            folder: c_int,
            path: *const c_char,
            flags: c_int,
            mode: c_uint,
        ) -> c_int {
            // SAFETY: the caller's promise, handed on.
            give_int(unsafe { open_by(Symbol::$at, folder, path, flags, mode) })
        }
    )*};
}

opens! {
    open openat;
    open64 openat64;
}
