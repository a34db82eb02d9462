//! longjmp(3) and similar functions, which may leave a signal handler.
//!
//! Each makes libc's jump. Inside a handler it first reports the target: libc keeps the stack
//! pointer in the buffer, mixed with a secret of the process (the *pointer guard*, `PTR_MANGLE`),
//! which [`learn_pointer_guard`] finds by reading a buffer whose stack pointer it knows.

use std::ffi::{c_int, c_void};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use crate::caller::{is_in_handler, observe_jump};
use crate::next::next;

type Jump = unsafe extern "C" fn(*mut c_void, c_int) -> !;

/// The words of a `jmp_buf`, with room to spare.
const WORDS: usize = 64;

/// The index of the word with the stack pointer.
const STACK_POINTER: usize = if cfg!(target_arch = "x86_64") { 6 } else { 13 };

/// The number of bits by which libc has rotated it.
const ROTATED: u32 = if cfg!(target_arch = "x86_64") { 17 } else { 0 };

/// The pointer guard; [`UNKNOWN`] if a buffer is not laid out as described here.
static POINTER_GUARD: AtomicUsize = AtomicUsize::new(UNKNOWN);

/// Stands for a guard that is not known. The guard is random: 1 is as good as impossible, and is
/// taken for not known, too.
const UNKNOWN: usize = 1;

/// Reads the mangled stack pointer of a buffer.
///
/// # Safety
/// It is a buffer of setjmp(3).
unsafe fn mangled(buffer: *const c_void) -> usize {
    // SAFETY: the caller's promise: a buffer has more words than that.
    unsafe { buffer.cast::<usize>().add(STACK_POINTER).read() }.rotate_right(ROTATED)
}

/// Reports that the thread continues where `buffer` was filled, if a handler runs.
///
/// # Safety
/// It is a buffer of setjmp(3).
#[inline]
unsafe fn observe(buffer: *const c_void) {
    if !is_in_handler() {
        return;
    }
    let guard = POINTER_GUARD.load(Relaxed);
    if guard != UNKNOWN {
        // SAFETY: the caller's promise.
        observe_jump(unsafe { mangled(buffer) } ^ guard);
    }
}

/// Defines functions that jump. The jump abandons their frames, which have nothing to drop.
macro_rules! jumps {
    ($($(#[$comment:meta])* $name:ident;)*) => {
        /// libc's own functions.
        mod real {
            $(pub(super) fn $name() -> super::Jump {
                super::next!($name)
            })*
        }

        /// Looks libc's functions up in advance, since a handler should not.
        fn look_up() {
            $(real::$name();)*
        }

        $(
            $(#[$comment])*
            #[cfg_attr(not(target_feature = "crt-static"), unsafe(no_mangle))]
            pub(crate) unsafe extern "C" fn $name(buffer: *mut c_void, value: c_int) -> ! {
                // SAFETY: the caller's promise: a buffer that was filled.
                unsafe { observe(buffer) };
                // SAFETY: the caller's promise, handed on.
                unsafe { real::$name()(buffer, value) }
            }
        )*
    };
}

jumps! {
    /// longjmp(3).
    longjmp;
    /// longjmp(3), by the name that on BSD leaves the signal mask as it is.
    _longjmp;
    /// siglongjmp(3).
    siglongjmp;
    /// longjmp(3) and siglongjmp(3) in fortified C.
    __longjmp_chk;
}

/// Finds the pointer guard, by two buffers that are filled in different places.
pub(crate) fn learn_pointer_guard() {
    look_up();
    let (first, at) = filled();
    let guard = first ^ at;
    let (second, second_at) = deeper(filled);
    let is_as_described = at != second_at && second ^ guard == second_at && guard != UNKNOWN;
    POINTER_GUARD.store(if is_as_described { guard } else { UNKNOWN }, Relaxed);
}

#[inline(never)]
fn deeper<T>(f: impl FnOnce() -> T) -> T {
    let mut room = [0u8; 1 << 10];
    std::hint::black_box(&mut room);
    f()
}

/// Returns the mangled stack pointer of a buffer that is filled here, and the stack pointer here.
#[inline(never)]
fn filled() -> (usize, usize) {
    unsafe extern "C" {
        fn _setjmp(buffer: *mut c_void) -> c_int;
    }
    let mut buffer = [0usize; WORDS];
    let place = buffer.as_mut_ptr().cast::<c_void>();
    let stack_pointer: usize;
    // SAFETY: the call fills the buffer, which has room, and returns once: no code jumps there.
    // Like any function it leaves the stack pointer as it was, and it has saved this value.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        std::arch::asm!(
            "call {fill}",
            "mov rax, rsp",
            fill = sym _setjmp,
            in("rdi") place,
            lateout("rax") stack_pointer,
            clobber_abi("C"),
        );
        #[cfg(target_arch = "aarch64")]
        std::arch::asm!(
            "bl {fill}",
            "mov x0, sp",
            fill = sym _setjmp,
            inlateout("x0") place => stack_pointer,
            clobber_abi("C"),
        );
        (mangled(place), stack_pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffers_stack_pointer_is_found() {
        learn_pointer_guard();
        let guard = POINTER_GUARD.load(Relaxed);
        assert_ne!(guard, UNKNOWN, "this libc keeps its buffers otherwise: jumps are not seen");
        let (mangled, stack_pointer) = deeper(|| deeper(filled));
        assert_eq!(mangled ^ guard, stack_pointer);
    }
}
