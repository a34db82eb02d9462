//! The attributes of a tasklet that replaces a thread: its name, since the kernel has one for all
//! tasklets of a thread, and its stack.

use std::ffi::{CStr, c_char, c_int};

use libc::{pthread_attr_t, pthread_t};

use crate::next::real;
use crate::own::current_record;
use crate::record::{NAME_LEN, Name};
use crate::state::record;

/// pthread_setname_np(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_setname_np(
    thread: pthread_t,
    name: *const c_char,
) -> c_int {
    let Some(record) = record(thread) else {
        let set: unsafe extern "C" fn(pthread_t, *const c_char) -> c_int =
            real!(pthread_setname_np);
        // SAFETY: the caller's promise, handed on.
        return unsafe { set(thread, name) };
    };
    // SAFETY: the caller's promise: a string that ends in a zero.
    let bytes = unsafe { CStr::from_ptr(name) }.to_bytes();
    if bytes.len() >= NAME_LEN {
        return libc::ERANGE;
    }
    let mut kept = [0; NAME_LEN];
    kept[..bytes.len()].copy_from_slice(bytes);
    *record.name() = kept;
    0
}

/// pthread_getname_np(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_getname_np(
    thread: pthread_t,
    name: *mut c_char,
    len: usize,
) -> c_int {
    let Some(record) = record(thread) else {
        let get: unsafe extern "C" fn(pthread_t, *mut c_char, usize) -> c_int =
            real!(pthread_getname_np);
        // SAFETY: the caller's promise, handed on.
        return unsafe { get(thread, name, len) };
    };
    if len < NAME_LEN {
        return libc::ERANGE;
    }
    let kept = *record.name();
    // SAFETY: the caller's promise: there is room for `len` bytes.
    unsafe { name.cast::<u8>().copy_from_nonoverlapping(kept.as_ptr(), NAME_LEN) };
    0
}

/// Returns the caller's name, which new threads inherit.
pub(crate) fn inherited() -> Name {
    if let Some(record) = current_record() {
        return *record.name();
    }
    let mut name = [0; NAME_LEN];
    // SAFETY: the kernel writes at most `NAME_LEN` bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name
}

/// pthread_getattr_np(3), which adds the guard of a tasklet's stack: it is the library's, and
/// unknown to libc. (std's threads refuse to begin without a guard.)
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn pthread_getattr_np(
    thread: pthread_t,
    attributes: *mut pthread_attr_t,
) -> c_int {
    const GUARD: usize = 4096;
    let get: unsafe extern "C" fn(pthread_t, *mut pthread_attr_t) -> c_int =
        real!(pthread_getattr_np);
    // SAFETY: the caller's promise, handed on.
    let outcome = unsafe { get(thread, attributes) };
    if outcome == 0 && record(thread).is_some() {
        // SAFETY: the call above has initialised them.
        unsafe { libc::pthread_attr_setguardsize(attributes, GUARD) };
    }
    outcome
}
