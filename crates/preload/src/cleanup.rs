//! pthread_exit(3) on a tasklet's stack: as libc unwinds, frame by frame.
//!
//! C++ destructors, and handlers of pthread_cleanup_push(3) in code that was compiled with
//! `-fexceptions`, run as the unwinder passes them. Other C code registers a place to jump to
//! (`__pthread_register_cancel`), from where it calls its handler and goes on with
//! `__pthread_unwind_next`. libc keeps those places in its own descriptor; for tasklets they are
//! kept here.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use crate::end::current_record;
use crate::enter::leave;
use crate::next::real;

/// `__pthread_unwind_buf_t`: what `sigsetjmp` has saved, without a signal mask; then libc's words.
#[repr(C)]
pub(crate) struct CleanupBuffer {
    saved: [usize; SAVED],
    /// libc: "private".
    before: *mut CleanupBuffer,
    value: *mut c_void,
    bottom: usize,
}

/// Words of `__cancel_jmp_buf`: registers, and whether a mask was saved.
const SAVED: usize = if cfg!(target_arch = "x86_64") { 9 } else { 23 };

thread_local! {
    /// The last place that the tasklet has registered.
    static LAST: Cell<*mut CleanupBuffer> = const { Cell::new(null_mut()) };
}

type OfPlace = unsafe extern "C-unwind" fn(*mut CleanupBuffer);

/// Notes a handler, for pthread_cleanup_push(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_register_cancel(place: *mut CleanupBuffer) {
    if current_record().is_none() {
        let register: OfPlace = real!(__pthread_register_cancel);
        // SAFETY: the caller's promise, handed on.
        return unsafe { register(place) };
    }
    // SAFETY: the caller's, which has room for libc's words.
    unsafe { (*place).before = LAST.replace(place) };
}

/// Forgets a handler, for pthread_cleanup_pop(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_unregister_cancel(place: *mut CleanupBuffer) {
    if current_record().is_none() {
        let unregister: OfPlace = real!(__pthread_unregister_cancel);
        // SAFETY: the caller's promise, handed on.
        return unsafe { unregister(place) };
    }
    // SAFETY: it was registered above.
    LAST.set(unsafe { (*place).before });
}

/// Goes on unwinding after a handler.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_unwind_next(place: *mut CleanupBuffer) -> ! {
    if current_record().is_none() {
        let next: unsafe extern "C-unwind" fn(*mut CleanupBuffer) -> ! =
            real!(__pthread_unwind_next);
        // SAFETY: the caller's promise, handed on.
        unsafe { next(place) }
    }
    // SAFETY: `on_frame` has jumped there, with its words set.
    unsafe { unwind((*place).value, (*place).bottom) }
}

/// `struct _Unwind_Exception`.
#[repr(C, align(16))]
struct Exception {
    class: u64,
    cleanup: Option<unsafe extern "C" fn(c_int, *mut Exception)>,
    private: [usize; 2],
    value: *mut c_void,
    bottom: usize,
}

type Stop = unsafe extern "C-unwind" fn(
    version: c_int,
    actions: c_int,
    class: u64,
    exception: *mut Exception,
    context: *mut c_void,
    data: *mut c_void,
) -> c_int;

const NO_REASON: c_int = 0;
const END_OF_STACK: c_int = 16;

unsafe extern "C-unwind" {
    fn _Unwind_ForcedUnwind(exception: *mut Exception, stop: Stop, data: *mut c_void) -> c_int;
    fn _Unwind_GetCFA(context: *mut c_void) -> usize;
    fn siglongjmp(place: *mut CleanupBuffer, value: c_int) -> !;
}

/// Unwinds the calling tasklet's stack, and returns `value` from its bottom.
///
/// # Safety
/// `bottom` is that of the calling tasklet, and its frames are given up.
pub(crate) unsafe fn unwind(value: *mut c_void, bottom: usize) -> ! {
    // Not on the stack, whose frames go; `on_frame` frees it.
    let exception = Box::into_raw(Box::new(Exception {
        class: 0,
        cleanup: Some(caught),
        private: [0; 2],
        value,
        bottom,
    }));
    // SAFETY: an exception of the unwinder's form; `on_frame` leaves at the bottom.
    unsafe { _Unwind_ForcedUnwind(exception, on_frame, null_mut()) };
    // The unwinder has given up. What is above may still be used: glibc ends the process, too.
    eprintln!("overlapped-preload: pthread_exit above a frame that cannot be unwound");
    std::process::abort();
}

/// Called before each frame is left.
unsafe extern "C-unwind" fn on_frame(
    _: c_int,
    actions: c_int,
    _: u64,
    exception: *mut Exception,
    context: *mut c_void,
    _: *mut c_void,
) -> c_int {
    // SAFETY: `unwind`'s.
    let (value, bottom) = unsafe { ((*exception).value, (*exception).bottom) };
    // SAFETY: the unwinder's, for the time of the call.
    let frame = unsafe { _Unwind_GetCFA(context) };
    let is_bottom = actions & END_OF_STACK != 0 || frame >= bottom;
    let place = LAST.get();
    // A place stands in the frame that it was registered in.
    if !place.is_null() && (is_bottom || place.addr() < frame) {
        // SAFETY: it was registered by a call that has not returned, on this stack.
        unsafe {
            LAST.set((*place).before);
            ((*place).value, (*place).bottom) = (value, bottom);
            drop(Box::from_raw(exception));
            siglongjmp(place, 1);
        }
    }
    if is_bottom {
        // SAFETY: the bottom of this stack; its frames have been unwound.
        unsafe {
            drop(Box::from_raw(exception));
            leave(value, bottom)
        }
    }
    NO_REASON
}

/// C++ code has caught it, and not thrown it on.
unsafe extern "C" fn caught(_: c_int, _: *mut Exception) {
    eprintln!("overlapped-preload: FATAL: exception not rethrown");
    std::process::abort();
}
