//! pthread_exit(3) on a tasklet's stack, which unwinds as libc does, frame by frame.
//!
//! The unwinder runs C++ destructors, and handlers of pthread_cleanup_push(3) in code that was
//! compiled with `-fexceptions`, as it passes them. Other C code registers a buffer to jump to
//! (`__pthread_register_cancel`), from where it calls its handler and continues with
//! `__pthread_unwind_next`. libc keeps those buffers in its own descriptor; this module keeps them
//! for tasklets.

use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::ptr::null_mut;

use crate::enter::leave;
use crate::next::real;
use crate::own::current_record;

/// `__pthread_unwind_buf_t`: the registers that `sigsetjmp` has saved, without a signal mask; then
/// libc's words.
#[repr(C)]
pub(crate) struct CleanupBuffer {
    saved: [usize; SAVED],
    /// libc: "private".
    before: *mut CleanupBuffer,
    value: *mut c_void,
    bottom: usize,
}

/// The words of `__cancel_jmp_buf`: registers, and whether a mask was saved.
const SAVED: usize = if cfg!(target_arch = "x86_64") { 9 } else { 23 };

thread_local! {
    /// The last buffer that the tasklet has registered.
    static LAST: Cell<*mut CleanupBuffer> = const { Cell::new(null_mut()) };
}

type OfPlace = unsafe extern "C-unwind" fn(*mut CleanupBuffer);

/// Registers a handler, for pthread_cleanup_push(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_register_cancel(place: *mut CleanupBuffer) {
    if current_record().is_none() {
        let register: OfPlace = real!(__pthread_register_cancel);
        // SAFETY: the caller's promise, handed on.
        return unsafe { register(place) };
    }
    // SAFETY: the buffer is the caller's, and has room for libc's words.
    unsafe { (*place).before = LAST.replace(place) };
}

/// Unregisters a handler, for pthread_cleanup_pop(3).
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_unregister_cancel(place: *mut CleanupBuffer) {
    if current_record().is_none() {
        let unregister: OfPlace = real!(__pthread_unregister_cancel);
        // SAFETY: the caller's promise, handed on.
        return unsafe { unregister(place) };
    }
    // SAFETY: the function above has registered it.
    LAST.set(unsafe { (*place).before });
}

/// Continues unwinding after a handler.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C-unwind" fn __pthread_unwind_next(place: *mut CleanupBuffer) -> ! {
    if current_record().is_none() {
        let next: unsafe extern "C-unwind" fn(*mut CleanupBuffer) -> ! =
            real!(__pthread_unwind_next);
        // SAFETY: the caller's promise, handed on.
        unsafe { next(place) }
    }
    // SAFETY: `on_frame` has jumped to it, with its words set.
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
/// `bottom` is that of the calling tasklet, whose frames are abandoned.
pub(crate) unsafe fn unwind(value: *mut c_void, bottom: usize) -> ! {
    // The exception is not on the stack, whose frames are abandoned; `on_frame` frees it.
    let exception = Box::into_raw(Box::new(Exception {
        class: 0,
        cleanup: Some(caught),
        private: [0; 2],
        value,
        bottom,
    }));
    // SAFETY: the exception has the unwinder's layout; `on_frame` leaves at the bottom.
    unsafe { _Unwind_ForcedUnwind(exception, on_frame, null_mut()) };
    // The unwinder has failed. The frames above may still be in use, so the process ends, as with
    // glibc.
    eprintln!("overlapped-preload: pthread_exit above a frame that cannot be unwound");
    std::process::abort();
}

/// Decides before each frame whether to jump to a handler, to leave the stack, or to go on
/// unwinding.
unsafe extern "C-unwind" fn on_frame(
    _: c_int,
    actions: c_int,
    _: u64,
    exception: *mut Exception,
    context: *mut c_void,
    _: *mut c_void,
) -> c_int {
    // SAFETY: the exception is `unwind`'s.
    let (value, bottom) = unsafe { ((*exception).value, (*exception).bottom) };
    // SAFETY: the context is the unwinder's, valid during the call.
    let frame = unsafe { _Unwind_GetCFA(context) };
    let is_bottom = actions & END_OF_STACK != 0 || frame >= bottom;
    let place = LAST.get();
    // A buffer lies in the frame that registered it.
    if !place.is_null() && (is_bottom || place.addr() < frame) {
        // SAFETY: a call on this stack that has not returned has registered it.
        unsafe {
            LAST.set((*place).before);
            ((*place).value, (*place).bottom) = (value, bottom);
            drop(Box::from_raw(exception));
            siglongjmp(place, 1);
        }
    }
    if is_bottom {
        // SAFETY: this is the bottom of this stack; its frames have been unwound.
        unsafe {
            drop(Box::from_raw(exception));
            leave(value, bottom)
        }
    }
    NO_REASON
}

/// Ends the process, as glibc does: C++ code has caught the exception and not rethrown it.
unsafe extern "C" fn caught(_: c_int, _: *mut Exception) {
    eprintln!("overlapped-preload: FATAL: exception not rethrown");
    std::process::abort();
}
