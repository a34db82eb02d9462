//! Transfers from one descriptor to another: sendfile, splice, tee.
//!
//! None of them has a try that cannot wait for a socket. So if an end would wait, an interruptible
//! call moves the bytes on a thread, through descriptors of its own. It reports the bytes moved
//! even if a kill ends it.
//!
//! splice of a socket in blocking mode cannot be done so: the kernel waits for the socket with the
//! pipe locked, and another reader or writer of that pipe would block its thread. It returns
//! EINVAL, as for files that it cannot splice, and its callers then copy with read and write.

use std::ffi::{c_int, c_uint};
use std::os::fd::OwnedFd;

use libc::{loff_t, size_t};

use crate::caller::Call;
use crate::pool;
use crate::query::{file_type, is_nonblocking, is_on_disk};
use crate::raw::{AGAIN, INVALID, Outcome, PIPE, call, give};
use crate::symbols::Symbol;

/// Tells whether a descriptor may wait for another program: it is no file on a disk, and is in
/// blocking mode.
fn may_wait(fd: c_int) -> bool {
    !is_on_disk(file_type(fd)) && !is_nonblocking(fd)
}

/// Tells whether splice waits at this end only if its flags permit it, and locks nothing meanwhile.
fn honours_nonblock(fd: c_int) -> bool {
    let file_type = file_type(fd);
    file_type == libc::S_IFIFO || is_on_disk(file_type)
}

/// Duplicates both ends, for a call of the job's own.
fn duplicate_both(from: c_int, to: c_int) -> Result<(OwnedFd, OwnedFd), Outcome> {
    Ok((pool::duplicate(from)?, pool::duplicate(to)?))
}

/// Copies an offset for the job.
unsafe fn copied(offset: *mut loff_t) -> Option<loff_t> {
    // SAFETY: the caller's promise: null, or an offset.
    unsafe { offset.as_ref() }.copied()
}

fn as_pointer(offset: &mut Option<loff_t>) -> *mut loff_t {
    offset.as_mut().map_or(std::ptr::null_mut(), |offset| offset as *mut loff_t)
}

/// Has a thread move bytes by `step`, which gets both ends and copies of both offsets.
unsafe fn move_by_thread(
    call: &Call,
    (from, from_offset): (c_int, *mut loff_t),
    (to, to_offset): (c_int, *mut loff_t),
    step: impl Fn(c_int, *mut loff_t, c_int, *mut loff_t) -> Outcome + Send + 'static,
) -> Outcome {
    let (own_from, own_to) = match duplicate_both(from, to) {
        Ok(both) => both,
        Err(error) => return error,
    };
    // SAFETY: the caller's promise.
    let (mut here, mut there) = unsafe { (copied(from_offset), copied(to_offset)) };
    // The offsets return in shared memory, because the job may run on after a kill.
    let offsets = std::sync::Arc::new(std::sync::Mutex::new((here, there)));
    let theirs = offsets.clone();
    let job = move || {
        let (from, to) = (pool::number(&own_from), pool::number(&own_to));
        let count = step(from, as_pointer(&mut here), to, as_pointer(&mut there));
        *theirs.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = (here, there);
        count
    };
    let outcome =
        pool::run_interruptible(call, job, |count| count as Outcome).unwrap_or_else(|error| error);
    let (here, there) = *offsets.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if outcome >= 0 {
        for (target, value) in [(from_offset, here), (to_offset, there)] {
            // SAFETY: the caller's promise: null, or a place for it.
            if let (Some(target), Some(value)) = (unsafe { target.as_mut() }, value) {
                *target = value;
            }
        }
    }
    if outcome == PIPE {
        raise_sigpipe();
    }
    outcome
}

/// Raises SIGPIPE in the caller's thread. The thread that met the closed end has its signals
/// blocked.
fn raise_sigpipe() {
    // SAFETY: a signal to the calling thread.
    unsafe { call!(tgkill, call!(getpid), call!(gettid), libc::SIGPIPE) };
}

macro_rules! send_files {
    ($($name:ident)*) => {$(
        /// sendfile(2), which reads from files only.
        #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
        pub(crate) unsafe extern "C" fn $name(
            to: c_int,
            from: c_int,
            offset: *mut loff_t,
            count: size_t,
        ) -> isize {
            let step = move |from: c_int, offset: *mut loff_t, to: c_int, _: *mut loff_t| {
                // SAFETY: the descriptors and the offset are the caller's.
                unsafe { call!(sendfile, to, from, offset, count) }
            };
            give(match Call::begin(Symbol::$name) {
                // SAFETY: the caller's promise, handed on.
                Some(call) if may_wait(to) => unsafe {
                    move_by_thread(&call, (from, offset), (to, std::ptr::null_mut()), step)
                },
                _ => step(from, offset, to, std::ptr::null_mut()),
            })
        }
    )*};
}

send_files! { sendfile sendfile64 }

/// splice(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn splice(
    from: c_int,
    from_offset: *mut loff_t,
    to: c_int,
    to_offset: *mut loff_t,
    count: size_t,
    flags: c_uint,
) -> isize {
    let step = move |flags: c_uint| {
        move |from: c_int, here: *mut loff_t, to: c_int, there: *mut loff_t| {
            // SAFETY: the descriptors and offsets are the caller's.
            unsafe { call!(splice, from, here, to, there, count, flags) }
        }
    };
    let Some(call) = Call::begin(Symbol::splice).filter(|_| may_wait(from) || may_wait(to)) else {
        return give(step(flags)(from, from_offset, to, to_offset));
    };
    if !(honours_nonblock(from) && honours_nonblock(to)) {
        return give(INVALID);
    }
    let first = step(flags | libc::SPLICE_F_NONBLOCK)(from, from_offset, to, to_offset);
    if first != AGAIN || flags & libc::SPLICE_F_NONBLOCK != 0 {
        return give(first);
    }
    // SAFETY: the caller's promise, handed on.
    give(unsafe { move_by_thread(&call, (from, from_offset), (to, to_offset), step(flags)) })
}

/// tee(2).
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn tee(from: c_int, to: c_int, count: size_t, flags: c_uint) -> isize {
    let null = std::ptr::null_mut();
    let step = move |from: c_int, _: *mut loff_t, to: c_int, _: *mut loff_t| {
        // SAFETY: the arguments are descriptors and numbers.
        unsafe { call!(tee, from, to, count, flags) }
    };
    give(match Call::begin(Symbol::tee) {
        // SAFETY: the call uses no memory of the caller's.
        Some(call) if may_wait(from) || may_wait(to) => unsafe {
            move_by_thread(&call, (from, null), (to, null), step)
        },
        _ => step(from, null, to, null),
    })
}
