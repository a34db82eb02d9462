//! syscall(2): futexes, as std's locks and threads use them.

use std::ffi::c_long;
use std::sync::atomic::Ordering::Relaxed;

use crate::caller::ON;
use crate::futex::futex;
use crate::raw::give;

/// syscall(2). The C function is variadic; on x86-64 and 64-bit Arm its callers put arguments where
/// this function reads them. An argument that was not given is arbitrary, and the kernel does not
/// read it.
#[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn syscall(
    number: c_long,
    a: usize,
    b: usize,
    c: usize,
    d: usize,
    e: usize,
    f: usize,
) -> c_long {
    let outcome = if number == libc::SYS_futex && ON.load(Relaxed) {
        // SAFETY: the caller's promise, handed on.
        unsafe { futex([a, b, c, d, e, f]) }
    } else {
        // SAFETY: the caller's promise, handed on.
        unsafe { syscalls::raw_syscall!(number, a, b, c, d, e, f) as isize }
    };
    give(outcome) as c_long
}
